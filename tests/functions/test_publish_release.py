"""From packaged to vouched for, once, and on to the workflow."""

import json
from datetime import UTC, datetime

import pytest

from functions.release.records import ReleaseState
from packhorse.assignment import BundleRef, bundle_target
from packhorse.names import Release

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def _keys(published_bucket, key_uris, monkeypatch):
    uris = {model: key_uris[f"release-{model}"] for model in ("digits", "magika")}
    monkeypatch.setenv("BUNDLE_BUCKET", published_bucket)
    monkeypatch.setenv("RELEASE_KEY_URIS", json.dumps(uris))
    monkeypatch.setenv("SNAPSHOT_KEY_URI", key_uris["snapshot"])
    monkeypatch.setenv("TIMESTAMP_KEY_URI", key_uris["timestamp"])


@pytest.fixture
def publish(push, topics, ledger, workflows, _keys):
    def call(release):
        return push("publish_release", json.dumps({"release": str(release)}).encode())

    return call


@pytest.fixture
def packaged(ledger):
    def register(model="digits", version=1, variants=("fp32", "int8")):
        release = Release(model, version)
        digest = f"sha256:{version:064x}"
        ledger.register_release(
            release, digest=digest, card={}, variants=variants, at=NOW
        )
        for number, variant in enumerate(variants):
            target = bundle_target(release, variant)
            bundle = BundleRef(target, 1000 + number, f"{number:064x}")
            ledger.variant_packaged(release, variant, bundle, NOW)
        return release

    return register


def test_a_packaged_release_is_vouched_for_and_its_workflow_started(
    publish, packaged, ledger, gateway, workflows
):
    release = packaged()
    assert publish(release).status_code == 200

    assert ledger.release(release).state is ReleaseState.PUBLISHED
    for variant in ("fp32", "int8"):
        target = gateway().get_targetinfo(f"bundles/digits/1/{variant}.tar")
        assert target.custom == {"release": "digits@1", "variant": variant}
    assert workflows.started == ["digits@1"]


def test_a_message_that_comes_twice_publishes_once(publish, packaged, store, workflows):
    release = packaged()
    publish(release)
    before = store.read("metadata/timestamp.json", 10_000)
    assert publish(release).status_code == 200

    assert store.read("metadata/timestamp.json", 10_000) == before
    # The second execution finds the release claimed, and ends.
    assert workflows.started == ["digits@1", "digits@1"]


def test_a_workflow_that_cannot_be_started_is_started_by_the_next_delivery(
    publish, packaged, ledger, workflows
):
    release = packaged()
    workflows.status = 503
    assert publish(release).status_code == 503
    workflows.status = 200
    assert publish(release).status_code == 200
    assert ledger.release(release).state is ReleaseState.PUBLISHED


def test_a_deployed_release_is_left_alone(publish, packaged, ledger, workflows):
    release = packaged()
    publish(release)
    ledger.deployed(release, at=NOW)
    assert publish(release).status_code == 200
    assert workflows.started == ["digits@1"]


def test_a_refused_release_is_never_published(publish, packaged, ledger, gateway):
    release = packaged()
    ledger.refuse_release(release, reason="a person said so", at=NOW)
    assert publish(release).status_code == 200
    assert gateway().get_targetinfo("bundles/digits/1/fp32.tar") is None


def test_a_model_that_nobody_vouches_for_is_refused(
    publish, packaged, ledger, workflows
):
    release = packaged("stranger")
    assert publish(release).status_code == 200

    record = ledger.release(release)
    assert record.state is ReleaseState.REFUSED
    assert "no role release-stranger" in record.reason
    assert workflows.started == []


def test_a_release_without_all_its_variants_is_not_published(
    publish, ledger, workflows
):
    release = Release("digits", 5)
    ledger.register_release(
        release, digest="sha256:" + "5" * 64, card={}, variants=["fp32"], at=NOW
    )
    assert publish(release).status_code == 409
    assert workflows.started == []


def test_a_release_that_nobody_registered_is_acknowledged(publish):
    assert publish(Release("digits", 99)).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b'{"other": 1}', b'{"release": 1}', b'{"release":"x@"}']
)
def test_a_message_that_is_none_is_acknowledged(publish, push, body):
    assert push("publish_release", body).status_code == 200


def test_a_broken_repository_keeps_the_message(publish, packaged, store, ledger):
    _, generation = store.read_with_generation("metadata/timestamp.json", 10_000)
    store.write_if_generation("metadata/timestamp.json", b"{}", generation)
    release = packaged()
    assert publish(release).status_code == 502
    assert ledger.release(release).state is ReleaseState.PACKAGED


def test_a_bucket_that_is_away_asks_for_the_message_again(
    publish, packaged, monkeypatch
):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    assert publish(packaged()).status_code == 503
