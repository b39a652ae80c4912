"""What a crash left is sent, and what stands still is started again."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from packhorse.assignment import BundleRef
from packhorse.names import Release

RELEASE = Release("magika", 2)


@pytest.fixture
def sweep(push, ledger, topics, workflows, monkeypatch):
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


@pytest.fixture
def published(register, ledger):
    """Leave a release where its workflow should have taken it further long ago."""

    def do(execution=""):
        at = register(age_s=700)
        bundle = BundleRef("bundles/magika/2/fp32.tar", 1, "a" * 64)
        ledger.variant_packaged(RELEASE, "fp32", bundle, at)
        ledger.published(RELEASE, at=at)
        if execution:
            ledger.claim(RELEASE, execution=execution)

    return do


def test_a_release_whose_workflow_still_runs_is_only_named(
    sweep, published, workflows, capsys
):
    published("slow")
    workflows.states["slow"] = "ACTIVE"

    sweep()

    line = logged(capsys)
    assert line["stuck"] == ["magika@2 is published"]
    assert (line["started_again"], workflows.started) == ([], [])


@pytest.mark.parametrize("execution", ["", "failed", "forgotten"])
def test_a_release_whose_workflow_has_failed_gets_another_one_once(
    sweep, published, workflows, capsys, execution
):
    published(execution)
    workflows.states["failed"] = "FAILED"

    sweep()
    line = logged(capsys)
    sweep()

    assert line["started_again"] == ["magika@2"]
    assert workflows.started == ["magika@2"]


def test_a_release_that_was_deployed_and_never_rolled_out_gets_another_workflow(
    sweep, published, ledger, workflows
):
    published("failed")
    workflows.states["failed"] = "FAILED"
    ledger.deployed(RELEASE, at=datetime.now(UTC) - timedelta(seconds=700))

    sweep()

    assert workflows.started == ["magika@2"]


def test_workflows_that_are_away_are_asked_again_and_hold_no_event_back(
    sweep, published, ledger, workflows
):
    published("failed")
    workflows.states["failed"] = "FAILED"
    workflows.status = 503

    assert sweep().status_code == 503

    assert ledger.pending_events(10) == []
    assert workflows.started == []


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
