"""People invite, list, revoke devices, and ask them for new keys."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from functions.release.device_record import DeviceRecord, Revocation
from functions.release.enrolment import decode_invitation, invitation_name
from tests.functions.conftest import AUDIENCE, OPERATOR

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def call(client_of, identity, bucket, ledger, topics, monkeypatch):
    """Call `operate` as the operator; the path comes without `/v1/`."""
    monkeypatch.setenv("DEVICE_BUCKET", bucket)
    app = client_of("operate").application
    token = identity.token(AUDIENCE, OPERATOR)

    def do(method, path, **options):
        headers = {"Authorization": f"Bearer {token}"}
        return app.test_client().open(
            f"/v1/{path}", method=method, headers=headers, **options
        )

    return do


@pytest.fixture
def enrolled(device_register, ledger):
    record = DeviceRecord("gateway-1", 1, "pem", AT, key_since=AT)
    device_register.save(record, instead_of=None)
    ledger.record_device("gateway-1", ring=1, at=AT)
    return record


def test_an_invitation_names_the_models_that_may_be_read(call, store):
    wanted = {"device": "gateway-1", "ring": 1, "models": ["magika"]}

    token = call("POST", "devices", json=wanted).json["token"]

    invitation = decode_invitation(store.read(invitation_name(token), 4096))
    assert invitation.models == ("magika",)
    assert abs(datetime.now(UTC) - invitation.invited_at).total_seconds() < 60


def test_every_device_is_listed_with_its_standing(call, enrolled, ledger):
    call("POST", "devices", json={"device": "gateway-2", "ring": 2})
    call("POST", "devices/gateway-1/revoke", json={"reason": "stolen"})

    listed = call("GET", "devices").json["devices"]

    found = {one["device"]: one for one in listed}
    assert found["gateway-1"]["is_revoked"]
    assert found["gateway-1"]["reason"] == "stolen"
    assert not found["gateway-1"]["is_enrolled"]
    assert not found["gateway-2"]["is_revoked"]
    assert call("GET", "status").json["devices"] == listed


def test_a_device_is_shown_with_its_keys_age_but_not_its_key(call, enrolled):
    shown = call("GET", "devices/gateway-1").json

    assert shown["key_since"] == AT.isoformat()
    assert len(shown["key_sha256"]) == 64
    assert "public_key" not in shown
    assert [change["what"] for change in shown["history"]] == ["enrolled in ring 1"]


def test_revoking_marks_the_record_and_takes_the_device_out_of_the_gates(
    call, enrolled, device_register, ledger, topics
):
    reply = call("POST", "devices/gateway-1/revoke", json={"reason": "stolen"})

    assert reply.status_code == 200
    record = device_register.read("gateway-1")
    assert (record.revocation.by, record.revocation.reason) == (OPERATOR, "stolen")
    assert (ledger.devices_in_ring(1), ledger.fleet_size()) == ([], 0)
    last = ledger.history("device:gateway-1")[-1]
    assert (last.what, last.by, last.reason) == ("revoked", OPERATOR, "stolen")
    # A rollout may have waited for it alone.
    assert topics.read_json("advance") == [{}]


def test_a_revocation_holds_whoever_else_changes_the_record(
    call, enrolled, device_register
):
    """An enrolment, a rotation and the wish for one may come in between."""
    tasks = ["devices/gateway-1/rotate"] * 3 + ["devices/gateway-1/revoke"]

    with ThreadPoolExecutor(len(tasks)) as pool:
        statuses = list(pool.map(lambda path: call("POST", path).status_code, tasks))

    assert statuses[-1] == 200
    assert device_register.read("gateway-1").revocation is not None


def test_revoking_twice_changes_nothing_more(
    call, enrolled, device_register, ledger, topics
):
    call("POST", "devices/gateway-1/revoke", json={"reason": "stolen"})
    first = device_register.find("gateway-1")

    again = call("POST", "devices/gateway-1/revoke", json={"reason": "other"})

    assert again.status_code == 200
    assert device_register.find("gateway-1") == first
    assert len(topics.read("advance")) == 1
    assert len(ledger.history("device:gateway-1")) == 2


def test_a_revocation_that_broke_off_is_finished_by_the_next(
    call, enrolled, device_register, ledger
):
    # As if the ledger had been away after the record was written.
    gone = Revocation(datetime.now(UTC), OPERATOR, "stolen")
    found = device_register.find("gateway-1")
    device_register.save(replace(enrolled, revocation=gone), instead_of=found)
    assert ledger.fleet_size() == 1

    call("POST", "devices/gateway-1/revoke", json={"reason": "again"})

    assert ledger.fleet_size() == 0
    assert ledger.history("device:gateway-1")[-1].reason == "stolen"


def test_a_device_that_never_came_is_revoked_too(call, device_register):
    call("POST", "devices", json={"device": "gateway-1", "ring": 2})

    reply = call("POST", "devices/gateway-1/revoke")

    assert (reply.status_code, reply.json["is_revoked"]) == (200, True)
    record = device_register.read("gateway-1")
    assert (record.ring, record.public_key) == (2, "")
    assert record.revocation.reason == f"revoked by {OPERATOR}"


def test_a_revoked_device_may_be_invited_anew(call, enrolled):
    wanted = {"device": "gateway-1", "ring": 1}
    refused = call("POST", "devices", json=wanted)
    assert refused.status_code == 409
    assert "packhorse device revoke gateway-1" in refused.json["error"]

    call("POST", "devices/gateway-1/revoke")

    assert call("POST", "devices", json=wanted).status_code == 201


def test_a_device_is_asked_for_a_new_key(call, enrolled, device_register):
    reply = call("POST", "devices/gateway-1/rotate")

    assert reply.json["is_rotation_wanted"]
    assert device_register.read("gateway-1").is_rotation_wanted
    again = device_register.find("gateway-1")
    call("POST", "devices/gateway-1/rotate")
    assert device_register.find("gateway-1") == again


def test_a_revoked_device_is_asked_for_nothing(call, enrolled):
    call("POST", "devices/gateway-1/rotate")
    call("POST", "devices/gateway-1/revoke")

    assert call("POST", "devices/gateway-1/rotate").status_code == 409
    assert not call("GET", "devices/gateway-1").json["is_rotation_wanted"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "devices/nobody", None, 404),
        ("GET", "devices/NOBODY", None, 400),
        ("POST", "devices/nobody/revoke", None, 404),
        ("POST", "devices/nobody/rotate", None, 404),
        ("POST", "devices/nobody/revoke", {"why": "x"}, 400),
        ("POST", "devices/nobody/rotate", {"reason": "x"}, 400),
        ("POST", "devices", {"device": "a", "ring": 0, "models": ["M"]}, 400),
        ("DELETE", "devices/gateway-1", None, 404),
    ],
)
def test_what_makes_no_sense_is_said(call, method, path, body, status):
    reply = call(method, path, json=body) if body else call(method, path)

    assert reply.status_code == status
    assert reply.json["error"]
