"""Only what an enrolled gateway has signed reaches the topic `reports`."""

from datetime import UTC, datetime

import pytest

from functions.release.device_record import (
    DeviceRecord,
    Revocation,
    device_name,
    encode_device,
)
from packhorse.report import REPORT_MAX_BYTES
from tests.functions.fleet import Gateway


@pytest.fixture
def gateway(store):
    """An enrolled gateway."""
    found = Gateway()
    enrol(store, found)
    return found


@pytest.fixture
def client(client_of, bucket, topics, monkeypatch):
    monkeypatch.setenv("DEVICE_BUCKET", bucket)
    return client_of("receive_report")


def enrol(store, gateway):
    record = DeviceRecord(gateway.name, 0, gateway.public_key, datetime.now(UTC))
    store.write_if_generation(device_name(gateway.name), encode_device(record), 0)


def test_a_signed_report_is_passed_on_byte_for_byte(client, gateway, topics):
    body = gateway.report()

    assert client.post("/", data=body).status_code == 202

    assert topics.read("reports") == [body]


def test_a_gateway_that_enrols_after_its_first_try_is_let_in(
    client, store, topics, gateway
):
    late = Gateway("gateway-2")
    assert client.post("/", data=late.report()).status_code == 403

    enrol(store, late)

    assert client.post("/", data=late.report()).status_code == 202


def test_another_key_is_refused(client, gateway, topics):
    impostor = Gateway(gateway.name)

    reply = client.post("/", data=impostor.report())

    assert reply.status_code == 403
    assert "signed with the key of gateway-1" in reply.json["error"]
    assert topics.read("reports") == []


def test_a_gateway_cannot_report_for_another(client, gateway, topics):
    assert client.post("/", data=gateway.report(device="other")).status_code == 403
    assert topics.read("reports") == []


def test_an_enrolment_cannot_be_replayed_as_a_report(client, gateway):
    assert client.post("/", data=gateway.enrolment("t" * 32)).status_code == 403


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"\xff"])
def test_what_is_no_envelope_is_malformed(client, body):
    assert client.post("/", data=body).status_code == 400


def test_a_report_cut_short_is_malformed(client, gateway):
    assert client.post("/", data=gateway.report()[:-1]).status_code == 400


def test_a_flipped_byte_is_refused(client, gateway):
    body = gateway.report()
    place = body.index(b'"payload":"') + 20
    flipped = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]

    assert client.post("/", data=flipped).status_code in {400, 403}


def test_too_long_a_body_is_refused(client):
    body = b"x" * (REPORT_MAX_BYTES + 1)

    assert client.post("/", data=body).status_code == 413


def test_a_topic_that_is_missing_keeps_the_gateway_trying(client, gateway, topics):
    topics.delete("reports")

    assert client.post("/", data=gateway.report()).status_code == 502


def test_a_broken_record_is_not_the_gateways_fault(client, store):
    gateway = Gateway("broken")
    store.write_if_generation(device_name("broken"), b"{", 0)

    assert client.post("/", data=gateway.report()).status_code == 502


def test_a_revoked_gateway_reports_no_more(client, store, topics):
    gateway = Gateway("gone")
    gone = Revocation(datetime.now(UTC), "operator@example.com", "stolen")
    record = DeviceRecord("gone", 0, gateway.public_key, gone.at, revocation=gone)
    store.write_if_generation(device_name("gone"), encode_device(record), 0)

    reply = client.post("/", data=gateway.report())

    assert (reply.status_code, reply.json["is_revoked"]) == (403, True)
    assert topics.read("reports") == []


def test_a_gateway_that_is_to_change_its_key_is_told(client, store, gateway):
    assert client.post("/", data=gateway.report()).json == {"is_rotation_wanted": False}
    other = Gateway("gateway-2")
    record = DeviceRecord(
        other.name, 0, other.public_key, datetime.now(UTC), is_rotation_wanted=True
    )
    store.write_if_generation(device_name(other.name), encode_device(record), 0)

    assert client.post("/", data=other.report()).json == {"is_rotation_wanted": True}
