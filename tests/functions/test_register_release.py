"""What was pushed becomes a release once; every other notice says why not."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from packhorse.model_card import encode_card
from packhorse.names import Release
from tests.functions import pushes

RELEASE = Release("digits", 7)


@pytest.fixture
def take(push, ledger, topics, registry, monkeypatch):
    """Deliver a notice; its reply is an acknowledgement unless it says otherwise."""
    monkeypatch.setenv("MODEL_REPOSITORY", pushes.REPOSITORY)
    monkeypatch.setenv("REGISTRY_ENDPOINT", registry[0])
    monkeypatch.setenv("VARIANTS", "fp32,int8")

    def deliver(body, **options):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return push("register_release", data, **options)

    return deliver


@pytest.fixture
def pushed(registry):
    """Push a model as `digits` and return the notice of its tag."""

    def do(tag="7", **options):
        digest = pushes.push(
            registry[0], pushes.files(), **{"release": RELEASE, **options}
        )
        return notice(digest, tag)

    return do


def notice(digest, tag, action="INSERT", image=f"{pushes.REPOSITORY}/digits"):
    return {
        "action": action,
        "digest": f"{image}@{digest}",
        "tag": f"{image}:{tag}",
    }


def refusals(ledger):
    found = ledger.snapshot_status()["refusals"]
    return [(one["subject"], one["reason"]) for one in found]


def test_a_push_becomes_a_release_and_asks_for_its_variants(
    take, pushed, ledger, topics
):
    reply = take(pushed())

    assert reply.status_code == 200
    record = ledger.release(RELEASE)
    assert record.card["licence"] == "Apache-2.0"
    assert topics.read_json("package") == [
        {"release": "digits@7", "variant": "fp32"},
        {"release": "digits@7", "variant": "int8"},
    ]
    assert ledger.pending_events(10) == []


def test_a_notice_that_comes_twice_registers_once(take, pushed, topics):
    body = pushed()

    assert [take(body).status_code for _ in range(2)] == [200, 200]

    assert len(topics.read("package")) == 2


def test_a_repeated_notice_publishes_what_a_crash_kept_back(
    take, pushed, ledger, topics
):
    topics.delete("package")
    body = pushed()
    assert take(body).status_code == 502

    topics.create("package")
    assert take(body).status_code == 200
    assert len(topics.read("package")) == 2


def test_the_tag_and_the_manifest_must_agree(take, pushed, ledger):
    assert take(pushed(tag="8")).status_code == 200

    assert ledger.release(Release("digits", 8)) is None
    ((subject, reason),) = refusals(ledger)
    assert subject == "digits@8"
    assert "version 8" in reason
    assert "says 7" in reason


def test_a_version_pushed_again_with_other_content_is_refused(take, pushed, ledger):
    take(pushed())
    other = pushes.card("digits", description="other")

    assert take(pushed(model_card=other)).status_code == 200

    ((subject, reason),) = refusals(ledger)
    assert subject == "digits@7"
    assert "next version" in reason


def test_what_is_no_model_is_refused(take, registry, ledger):
    path = f"{registry[0]}/v2/demo/models/digits"
    config = b"{}"
    pushes.put_blob(path, config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": pushes.OCI_MANIFEST_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": pushes.digest_of(config),
            "size": len(config),
        },
        "layers": [],
    }
    digest = pushes.put_manifest(path, json.dumps(manifest).encode())

    assert take(notice(digest, "7")).status_code == 200

    ((_, reason),) = refusals(ledger)
    assert "artifactType" in reason


def test_a_manifest_that_is_gone_is_refused(take, ledger):
    assert take(notice("sha256:" + "0" * 64, "7")).status_code == 200

    assert len(refusals(ledger)) == 1


def test_content_that_its_digest_does_not_name_is_asked_for_again(
    take, pushed, registry, ledger
):
    card = pushes.card("digits", description="tampered with")
    body = pushed(model_card=card)
    pushes.tamper(registry[1], encode_card(card))

    assert take(body).status_code == 503
    assert refusals(ledger) == []

    # The same bit, flipped back.
    pushes.tamper(registry[1], encode_card(card))
    assert take(body).status_code == 200
    assert ledger.release(RELEASE).card["description"] == "tampered with"


def test_a_registry_that_is_away_is_asked_again(take, pushed, ledger, monkeypatch):
    body = pushed()
    monkeypatch.setenv("REGISTRY_ENDPOINT", "http://127.0.0.1:1")

    assert take(body).status_code == 503
    assert ledger.release(RELEASE) is None


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        b"[]",
        notice("sha256:" + "a" * 64, "7", action="DELETE"),
        notice("sha256:" + "a" * 64, f"sha256-{'a' * 64}.sig"),
        notice("sha256:" + "a" * 64, "7", image="gcr.io/demo/digits"),
        notice("sha256:" + "a" * 64, "latest"),
    ],
    ids=["garbage", "no object", "delete", "signature", "foreign", "no version"],
)
def test_other_notices_are_acknowledged_and_recorded(take, ledger, topics, body):
    assert take(body).status_code == 200

    assert len(refusals(ledger)) == 1
    assert topics.read("package") == []


def test_the_notice_without_a_tag_is_ignored(take, ledger):
    body = notice("sha256:" + "a" * 64, "7")
    del body["tag"]

    assert take(body).status_code == 200

    assert refusals(ledger) == []


def test_a_notice_of_the_day_before_yesterday_is_refused(take, pushed, ledger):
    long_ago = datetime.now(UTC) - timedelta(days=2)

    assert take(pushed(), published_at=long_ago).status_code == 200

    assert ledger.release(RELEASE) is None
    ((_, reason),) = refusals(ledger)
    assert "push the model again" in reason


def test_a_message_without_a_token_changes_nothing(take, pushed, ledger):
    assert take(pushed(), headers={"X-Nobody": "1"}).status_code == 401

    assert ledger.release(RELEASE) is None
    assert refusals(ledger) == []
