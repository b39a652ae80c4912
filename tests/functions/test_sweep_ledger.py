"""What a crash left is sent, and what stands still is named."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from packhorse.assignment import BundleRef
from packhorse.names import Release

RELEASE = Release("magika", 2)


@pytest.fixture
def sweep(push, ledger, topics, monkeypatch):
    monkeypatch.setenv("STUCK_AFTER_S", "600")
    return lambda: push("sweep_ledger", b"{}")


@pytest.fixture
def register(ledger):
    def do(age_s=0):
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        ledger.register_release(
            RELEASE, digest="sha256:x", card={}, variants=["fp32"], at=at
        )
        return at

    return do


def logged(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_events_that_a_crash_left_are_sent(sweep, register, ledger, topics):
    register()

    assert sweep().status_code == 200

    assert topics.read_json("package") == [{"release": "magika@2", "variant": "fp32"}]
    assert ledger.pending_events(10) == []


def test_a_release_whose_message_was_lost_is_asked_for_again(
    sweep, register, topics, capsys
):
    register(age_s=700)
    sweep()
    line = logged(capsys)

    assert line["asked_again"] == ["magika@2"]
    assert len(topics.read("package")) == 2


def test_a_release_that_no_workflow_brings_further_is_named(
    sweep, register, ledger, capsys
):
    at = register(age_s=700)
    bundle = BundleRef("bundles/magika/2/fp32.tar", 1, "a" * 64)
    ledger.variant_packaged(RELEASE, "fp32", bundle, at)
    ledger.published(RELEASE, at=at)

    sweep()

    assert logged(capsys)["stuck"] == ["magika@2 is published"]


def test_one_missing_topic_does_not_hold_the_others_back(
    sweep, register, ledger, topics
):
    at = register()
    bundle = BundleRef("bundles/magika/2/fp32.tar", 1, "a" * 64)
    ledger.variant_packaged(RELEASE, "fp32", bundle, at)
    topics.delete("package")

    assert sweep().status_code == 502

    assert topics.read_json("packaged") == [{"release": "magika@2"}]
    assert [event.topic for event in ledger.pending_events(10)] == ["package"]
