"""A device that is known gets a token for its model, and nobody else does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests

from functions.release.device_record import DeviceRecord, Revocation
from packhorse.report import REPORT_MAX_BYTES
from tests.functions.fleet import Gateway

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def gateway():
    return Gateway()


@pytest.fixture
def enrol(device_register, gateway):
    def do(**changes):
        record = DeviceRecord(gateway.name, 0, gateway.public_key, NOW)
        found = device_register.find(gateway.name)
        device_register.save(replace(record, **changes), instead_of=found)

    return do


@pytest.fixture
def client(client_of, bucket, private_bucket, google_account, monkeypatch):
    monkeypatch.setenv("DEVICE_BUCKET", bucket)
    monkeypatch.setenv("BUNDLE_BUCKET", bucket)
    monkeypatch.setenv("STS_ENDPOINT", private_bucket)
    return client_of("device_token")


def test_a_signed_wish_becomes_a_token_that_reads(
    client, enrol, gateway, private_bucket, bucket, store
):
    enrol()
    store.write_if_generation("targets/bundles/magika/2/aa.fp32.tar", b"bundle", 0)

    reply = client.post("/", data=gateway.token_request())

    assert reply.status_code == 200
    assert reply.headers["Cache-Control"] == "no-store"
    assert 0 < reply.json["expires_in"] <= 3600
    assert reply.json["is_rotation_wanted"] is False
    url = f"{private_bucket}/{bucket}/targets/bundles/magika/2/aa.fp32.tar"
    headers = {"Authorization": f"Bearer {reply.json['access_token']}"}
    assert requests.get(url, headers=headers, timeout=5).content == b"bundle"
    assert requests.get(url, timeout=5).status_code == 403


def test_a_token_does_not_read_the_devices_records(
    client, enrol, gateway, private_bucket, bucket
):
    enrol()
    token = client.post("/", data=gateway.token_request()).json["access_token"]

    url = f"{private_bucket}/{bucket}/devices/{gateway.name}.json"
    headers = {"Authorization": f"Bearer {token}"}

    assert requests.get(url, headers=headers, timeout=5).status_code == 403


def test_a_stranger_gets_none(client):
    reply = client.post("/", data=Gateway("stranger").token_request())

    assert reply.status_code == 403
    assert "no device stranger" in reply.json["error"]


def test_another_key_gets_none(client, enrol, gateway):
    enrol()

    assert client.post("/", data=Gateway().token_request()).status_code == 403


def test_a_revoked_device_gets_none_from_that_moment_on(client, enrol, gateway):
    enrol()
    assert client.post("/", data=gateway.token_request()).status_code == 200

    enrol(revocation=Revocation(NOW, "operator@example.com", "stolen"))

    reply = client.post("/", data=gateway.token_request())
    assert (reply.status_code, reply.json["is_revoked"]) == (403, True)
    assert "stolen" not in reply.json["error"]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_request_of_another_time_is_refused_and_told_the_time(
    client, enrol, gateway, hours
):
    enrol()
    at = datetime.now(UTC) + timedelta(hours=hours)

    reply = client.post("/", data=gateway.token_request(at=at))

    assert reply.status_code == 403
    told = datetime.fromisoformat(reply.json["now"])
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)
    assert client.post("/", data=gateway.token_request(at=told)).status_code == 200


def test_the_time_is_told_to_nobody_but_the_device(client, enrol):
    enrol()
    impostor = Gateway()
    at = datetime.now(UTC) - timedelta(hours=1)

    assert "now" not in client.post("/", data=impostor.token_request(at=at)).json


def test_a_device_reads_only_the_models_that_it_was_invited_for(client, enrol, gateway):
    enrol(models=("digits",))

    assert client.post("/", data=gateway.token_request("magika")).status_code == 403
    assert client.post("/", data=gateway.token_request("digits")).status_code == 200


def test_a_device_that_is_to_change_its_key_is_told(client, enrol, gateway):
    enrol(is_rotation_wanted=True)

    assert client.post("/", data=gateway.token_request()).json["is_rotation_wanted"]


def test_a_report_or_an_enrolment_is_no_wish_for_a_token(client, enrol, gateway):
    enrol()

    assert client.post("/", data=gateway.report()).status_code == 403
    assert client.post("/", data=gateway.enrolment("t" * 43)).status_code == 403


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"\xff", b"x" * REPORT_MAX_BYTES])
def test_what_is_no_envelope_is_malformed(client, body):
    assert client.post("/", data=body).status_code == 400


def test_too_long_a_body_is_refused(client):
    body = b"x" * (REPORT_MAX_BYTES + 1)

    assert client.post("/", data=body).status_code == 413


def test_a_token_service_that_is_away_asks_the_gateway_to_come_back(
    client_of, bucket, google_account, monkeypatch, enrol, gateway
):
    monkeypatch.setenv("DEVICE_BUCKET", bucket)
    monkeypatch.setenv("BUNDLE_BUCKET", bucket)
    monkeypatch.setenv("STS_ENDPOINT", "http://127.0.0.1:9")
    enrol()

    reply = client_of("device_token").post("/", data=gateway.token_request())

    assert reply.status_code == 503
