"""A device asks in envelopes that it signed, and each says what it is for."""

import functools
from datetime import UTC, datetime, timedelta, timezone

import pytest

from packhorse import device_key
from packhorse.device_requests import (
    ENROLL,
    TOKEN,
    TokenRequest,
    check_voucher,
    decode_enrolment,
    decode_token_request,
    seal_enrolment,
    seal_rotation,
    seal_token_request,
)
from packhorse.errors import MalformedError, PackhorseError, UntrustedError
from packhorse.report import open_envelope
from packhorse.strict_json import encode_json

AT = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)
ONE_TIME = "t" * 43


class Key:
    def __init__(self):
        self.pem = device_key.generate_key_pem()
        self.public = device_key.public_pem(self.pem)
        self.sign = functools.partial(device_key.sign, self.pem)


@pytest.fixture(scope="module")
def key():
    return Key()


@pytest.fixture(scope="module")
def before():
    return Key()


def test_an_enrolment_reads_back_as_it_was_sealed(key):
    body = seal_enrolment(key.public, ONE_TIME, device="gw-1", sign=key.sign)

    envelope = open_envelope(body)
    device_key.verify_envelope(envelope, key.public, purpose=ENROLL)
    wanted = decode_enrolment(envelope.payload)
    assert (wanted.public_key, wanted.token, wanted.voucher) == (
        key.public,
        ONE_TIME,
        b"",
    )


def test_a_rotation_is_signed_by_the_new_key_and_vouched_for_by_the_old(key, before):
    body = seal_rotation(key.public, device="gw-1", sign=key.sign, before=before.sign)

    envelope = open_envelope(body)
    device_key.verify_envelope(envelope, key.public, purpose=ENROLL)
    wanted = decode_enrolment(envelope.payload)
    check_voucher("gw-1", wanted, before.public)
    with pytest.raises(UntrustedError):
        check_voucher("gw-1", wanted, key.public)
    with pytest.raises(UntrustedError):
        check_voucher("gw-2", wanted, before.public)


def test_a_token_request_reads_back_as_it_was_sealed(key):
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    request = TokenRequest("magika", elsewhere)

    envelope = open_envelope(seal_token_request(request, device="gw-1", sign=key.sign))

    device_key.verify_envelope(envelope, key.public, purpose=TOKEN)
    assert decode_token_request(envelope.payload) == TokenRequest("magika", AT)


def test_a_token_request_is_good_for_nothing_else(key):
    body = seal_token_request(TokenRequest("magika", AT), device="a", sign=key.sign)

    for purpose in ("report", ENROLL, "rotate"):
        with pytest.raises(UntrustedError):
            device_key.verify_envelope(open_envelope(body), key.public, purpose=purpose)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"public_key": "pem"},
        {"token": "short", "public_key": "pem"},
        {"token": "../" * 20, "public_key": "pem"},
        {"token": ONE_TIME, "public_key": "x" * 2000},
        {"token": ONE_TIME, "public_key": "pem", "ring": 0},
        {"token": ONE_TIME, "public_key": "pem", "voucher": "YQ=="},
        {"public_key": "pem", "voucher": ""},
        {"public_key": "pem", "voucher": "no base64!"},
        {"public_key": "pem", "voucher": "A" * 2000},
        {"public_key": "pem", "voucher": None},
    ],
)
def test_an_enrolment_that_says_too_little_or_too_much_is_refused(document):
    with pytest.raises(PackhorseError):
        decode_enrolment(encode_json(document))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"model": "magika"},
        {"model": "../magika", "at": AT.isoformat()},
        {"model": "magika", "at": "now"},
        {"model": "magika", "at": "2026-11-22T12:00:00"},
        {"model": "magika", "at": "0001-01-01T00:00:00+14:00"},
        {"model": "magika", "at": 1},
        {"model": "magika", "at": AT.isoformat(), "prefix": ""},
    ],
)
def test_a_token_request_that_is_none_is_refused(document):
    with pytest.raises(MalformedError):
        decode_token_request(encode_json(document))


def test_what_is_no_json_is_refused():
    for decode in (decode_enrolment, decode_token_request):
        with pytest.raises(MalformedError):
            decode(b"{")
