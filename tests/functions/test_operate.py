"""People read everything, and change only what they have seen."""

from datetime import UTC, datetime

import pytest

from functions.release import rollout
from functions.release.device_record import DeviceRecord, device_name, encode_device
from functions.release.enrolment import decode_invitation, invitation_name
from packhorse.assignment import BundleRef, bundle_target
from packhorse.names import Release
from tests.functions.conftest import AUDIENCE, OPERATOR

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RELEASE = Release("magika", 2)

pytestmark = pytest.mark.usefixtures("topics")


@pytest.fixture
def call(client_of, identity, bucket, ledger, monkeypatch):
    """Call `operate` as the operator; the path comes without `/v1/`."""
    monkeypatch.setenv("DEVICE_BUCKET", bucket)
    client = client_of("operate")
    token = identity.token(AUDIENCE, OPERATOR)

    def do(method, path, *, tag=None, headers=None, **options):
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        if tag:
            sent["If-Match"] = tag
        return client.open(f"/v1/{path}", method=method, headers=sent, **options)

    return do


@pytest.fixture
def rolling(ledger):
    """A rollout of magika@2 that waits; magika@1 is stable."""
    for version in (1, 2):
        release = Release("magika", version)
        bundle = BundleRef(bundle_target(release, "fp32"), 1, f"{version:064x}")
        digest = f"sha256:{version:064x}"
        ledger.register_release(
            release, digest=digest, card={}, variants=["fp32"], at=AT
        )
        ledger.variant_packaged(release, "fp32", bundle, AT)
        ledger.published(release, at=AT)
        ledger.deployed(release, at=AT)
        ledger.open_rollout(release, at=AT)
        if version == 1:
            waiting = ledger.rollout("magika")
            ledger.save_rollout(
                rollout.finish(waiting), expected_sequence=waiting.sequence, at=AT
            )
    ledger.mark_sent([event.id for event in ledger.pending_events(100)])
    return ledger.rollout("magika")


def test_status_shows_releases_rollouts_and_devices(call, rolling):
    reply = call("GET", "status")

    assert reply.status_code == 200
    names = {one["release"] for one in reply.json["releases"]}
    assert names == {"magika@1", "magika@2"}
    assert reply.json["rollouts"][0]["candidate"]["release"] == "magika@2"
    assert reply.json["devices"] == []


def test_a_release_is_shown_with_its_history(call, rolling):
    reply = call("GET", "releases/magika@2")

    assert reply.json["state"] == "deployed"
    assert reply.json["variants"]["fp32"]["sha256"] == f"{2:064x}"
    whats = [change["what"] for change in reply.json["history"]]
    assert whats[0] == "registered"
    assert whats[-1] == "rollout waiting"


def test_halting_writes_who_did_it_and_why(call, rolling, ledger, topics):
    tag = call("GET", "rollouts/magika").headers["ETag"]

    reply = call("POST", "rollouts/magika/halt", tag=tag, json={"reason": "odd"})

    assert (reply.status_code, reply.json["state"]) == (200, "halted")
    assert reply.headers["ETag"] == f'"{rolling.sequence + 1}"'
    last = ledger.history(RELEASE)[-1]
    assert (last.by, last.reason) == (OPERATOR, "odd")
    assert topics.read_json("advance") == [{"model": "magika"}]


def test_a_halted_rollout_opens_again(call, rolling):
    halted = call("POST", "rollouts/magika/halt", tag=f'"{rolling.sequence}"')

    reply = call("POST", "rollouts/magika/open", tag=halted.headers["ETag"])

    assert (reply.status_code, reply.json["state"]) == (200, "waiting")


def test_a_release_is_withdrawn_by_name(call, rolling, ledger):
    reply = call(
        "POST",
        "rollouts/magika/withdraw",
        tag=f'"{rolling.sequence}"',
        json={"release": "magika@2"},
    )

    assert reply.json["withdrawn"] == ["magika@2"]
    assert ledger.rollout("magika").stable.release == Release("magika", 1)
    assert reply.json["reason"] == f"withdrawn by {OPERATOR}"


@pytest.mark.parametrize(
    ("tag", "status"),
    [(None, 428), ('"999"', 412), ("*", 412), ("garbage", 412)],
)
def test_a_change_must_name_the_state_it_was_decided_upon(call, rolling, tag, status):
    reply = call("POST", "rollouts/magika/halt", tag=tag)

    assert reply.status_code == status
    assert (
        "If-Match" in reply.json["error"] or "look at it again" in reply.json["error"]
    )


def test_what_makes_no_sense_is_said(call, rolling):
    tag = f'"{rolling.sequence}"'

    again = call("POST", "rollouts/magika/open", tag=tag)
    other = call(
        "POST", "rollouts/magika/withdraw", tag=tag, json={"release": "other@1"}
    )

    assert again.status_code == 409
    assert other.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "releases/magika@9", 404),
        ("GET", "releases/nonsense", 400),
        ("GET", "rollouts/nobody", 404),
        ("GET", "rollouts/NOBODY", 400),
        ("GET", "elsewhere", 404),
        ("DELETE", "status", 404),
        ("POST", "rollouts/nobody/halt", 404),
    ],
)
def test_what_is_not_there_is_said(call, method, path, status):
    reply = call(method, path, tag='"1"')

    assert reply.status_code == status
    assert reply.json["error"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"unknown": 1}', b"x" * 20_000])
def test_a_malformed_request_changes_nothing(call, rolling, ledger, body):
    reply = call("POST", "rollouts/magika/halt", tag=f'"{rolling.sequence}"', data=body)

    assert reply.status_code in {400, 413}
    assert ledger.rollout("magika") == rolling


def test_a_device_is_invited_with_a_token(call, store, ledger):
    reply = call("POST", "devices", json={"device": "gateway-1", "ring": 1})

    assert reply.status_code == 201
    invitation = decode_invitation(
        store.read(invitation_name(reply.json["token"]), 4096)
    )
    assert (invitation.device, invitation.ring) == ("gateway-1", 1)
    assert invitation.by == OPERATOR
    assert ledger.history("device:gateway-1")[0].by == OPERATOR


def test_an_enrolled_device_is_not_invited_again(call, store):
    record = DeviceRecord("gateway-1", 0, "pem", AT)
    store.write_if_generation(device_name("gateway-1"), encode_device(record), 0)

    reply = call("POST", "devices", json={"device": "gateway-1", "ring": 1})

    assert reply.status_code == 409
    assert "packhorse device revoke gateway-1" in reply.json["error"]


@pytest.mark.parametrize("body", [{"device": "UPPER", "ring": 0}, {"device": "a"}])
def test_a_device_that_cannot_be_is_not_invited(call, body):
    assert call("POST", "devices", json=body).status_code == 400


def test_strangers_are_kept_out(call, identity):
    stranger = identity.token(AUDIENCE, "stranger@example.com")

    refused = call("GET", "status", headers={"Authorization": f"Bearer {stranger}"})
    nobody = call("GET", "status", headers={"Authorization": ""})

    assert (refused.status_code, nobody.status_code) == (403, 401)
