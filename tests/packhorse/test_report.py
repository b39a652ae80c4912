"""Reports, and the envelopes that a device signs."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from packhorse.device_key import (
    check_public_pem,
    generate_key_pem,
    public_pem,
    sign,
    verify_envelope,
)
from packhorse.errors import LimitExceededError, MalformedError, UntrustedError
from packhorse.names import Release
from packhorse.report import (
    REPORT_MAX_BYTES,
    DeviceState,
    Report,
    decode_report,
    encode_report,
    open_envelope,
    seal,
)

KEY = generate_key_pem()
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def report(**changes):
    fields = {
        "device": "gw-1",
        "sequence": 7,
        "at": AT,
        "release": Release("magika", 2),
        "rollout_id": "magika@2#1",
        "state": DeviceState.SERVING,
        "reason": "",
        "measures": {"took_s": 0.5},
    }
    return Report(**fields | changes)


def changed(**fields):
    return json.dumps(json.loads(encode_report(report())) | fields).encode()


def sealed(payload=b"hello", device="gw-1", purpose="report"):
    return seal(payload, device=device, sign=lambda m: sign(KEY, m), purpose=purpose)


def test_a_report_reads_back_the_same():
    assert decode_report(encode_report(report())) == report()


def test_an_enrolment_has_no_release():
    enrolled = report(release=None, state=DeviceState.ENROLLED, rollout_id="")
    assert decode_report(encode_report(enrolled)) == enrolled


def test_a_time_elsewhere_reads_as_utc():
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    assert decode_report(encode_report(report(at=elsewhere))).at == AT


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"surprise": 1}, "surprise"),
        ({"device": "../x"}, "device"),
        ({"sequence": -1}, "sequence"),
        ({"state": "happy"}, "must be one of"),
        ({"at": "yesterday"}, "ISO 8601"),
        ({"at": "2026-01-01T00:00:00"}, "offset"),
        ({"at": "0001-01-01T00:00:00+23:00"}, "calendar"),
        ({"reason": "x" * 501}, "500"),
        ({"measures": {"a": "b"}}, "number"),
        ({"release": {}}, "magika@7"),
    ],
)
def test_a_report_that_says_something_wrong_is_refused(fields, word):
    with pytest.raises(MalformedError, match=word):
        decode_report(changed(**fields))


@pytest.mark.parametrize(
    "changes",
    [
        {"at": AT.replace(tzinfo=None)},
        {"reason": "x" * 501},
        {"measures": {"a": float("nan")}},
        {"device": "X"},
    ],
    ids=["no zone", "long reason", "NaN", "name"],
)
def test_a_report_that_no_device_should_send_cannot_exist(changes):
    with pytest.raises(MalformedError):
        report(**changes)


def test_an_envelope_carries_its_payload_and_proves_the_sender():
    envelope = open_envelope(sealed())
    assert envelope.payload == b"hello"
    verify_envelope(envelope, public_pem(KEY))


@pytest.mark.parametrize(
    ("body", "purpose", "key"),
    [
        (sealed(purpose="enroll"), "report", KEY),
        (sealed(), "report", generate_key_pem()),
        (sealed().replace(b"gw-1", b"gw-2"), "report", KEY),
    ],
    ids=["another purpose", "another key", "another device"],
)
def test_an_envelope_that_was_not_signed_so_is_refused(body, purpose, key):
    with pytest.raises(UntrustedError, match="key of gw"):
        verify_envelope(open_envelope(body), public_pem(key), purpose=purpose)


@given(st.binary(max_size=200), st.data())
def test_a_changed_payload_is_refused(payload, data):
    document = json.loads(sealed(payload))
    other = data.draw(st.binary(max_size=200).filter(lambda b: b != payload))
    document["payload"] = base64.b64encode(other).decode()
    with pytest.raises(UntrustedError):
        verify_envelope(open_envelope(json.dumps(document).encode()), public_pem(KEY))


@pytest.mark.parametrize("payload", ["*", "a", "ä"])
def test_an_envelope_holds_base64(payload):
    body = json.dumps({"device": "gw", "payload": payload, "signature": ""}).encode()
    with pytest.raises(MalformedError, match="base64"):
        open_envelope(body)


def test_an_envelope_over_the_limit_is_refused():
    with pytest.raises(LimitExceededError):
        open_envelope(sealed(bytes(REPORT_MAX_BYTES)))


@pytest.mark.parametrize("pem", ["", "x", public_pem(KEY)[:60]])
def test_what_is_no_public_key_is_refused(pem):
    with pytest.raises(MalformedError):
        check_public_pem(pem)


def test_a_public_key_is_returned_as_it_is():
    assert check_public_pem(public_pem(KEY)) == public_pem(KEY)


def test_keys_of_other_kinds_are_refused():
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    for key in (
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP384R1()),
    ):
        pem = key.public_key().public_bytes(serialization.Encoding.PEM, spki)
        with pytest.raises(MalformedError, match=r"P-256|curve"):
            check_public_pem(pem.decode())
    raw = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(MalformedError, match="P-256"):
        sign(raw, b"")
    with pytest.raises(MalformedError, match="PEM"):
        sign(b"nonsense", b"")
