"""A device's record survives being written, and a revoked device is let in no more."""

from dataclasses import replace

import pytest

from functions.errors import DeviceRefusedError
from functions.release.device_record import (
    DeviceRecord,
    Revocation,
    decode_device,
    encode_device,
)
from packhorse.errors import MalformedError, UntrustedError
from packhorse.report import open_envelope
from packhorse.strict_json import encode_json
from tests.functions.fleet import Gateway


@pytest.fixture
def record(now):
    return DeviceRecord("gateway-1", 3, "pem", now)


@pytest.fixture
def full(record, now, later):
    return replace(
        record,
        key_since=later(5),
        models=("magika", "digits"),
        is_rotation_wanted=True,
        revocation=Revocation(later(9), "operator@example.com", "stolen"),
    )


def test_a_record_reads_back_as_it_was_written(record, full):
    for one in (record, full):
        assert decode_device(encode_device(one)) == one


def test_a_record_of_before_is_still_read(record, now):
    body = encode_json(
        {
            "device": "gateway-1",
            "ring": 3,
            "public_key": "pem",
            "enrolled_at": now.isoformat(),
        }
    )

    assert decode_device(body) == record


def test_a_new_key_ends_the_wish_for_one(record, later):
    changed = replace(record, is_rotation_wanted=True).with_key("other", later(1))

    assert (changed.public_key, changed.key_since) == ("other", later(1))
    assert not changed.is_rotation_wanted
    assert changed.enrolled_at == record.enrolled_at


def test_a_revoked_device_is_refused_whatever_it_signed(full):
    gateway = Gateway()
    envelope = open_envelope(gateway.report())
    record = replace(full, public_key=gateway.public_key)

    with pytest.raises(DeviceRefusedError, match="was revoked") as refused:
        record.check_signed(envelope, purpose="report")
    assert refused.value.told == {"is_revoked": True}

    replace(record, revocation=None).check_signed(envelope, purpose="report")


def test_what_another_key_signed_is_not_trusted(record):
    gateway = Gateway()
    envelope = open_envelope(gateway.report())

    with pytest.raises(UntrustedError):
        replace(record, public_key=Gateway().public_key).check_signed(
            envelope, purpose="report"
        )
    with pytest.raises(UntrustedError):
        replace(record, public_key=gateway.public_key).check_signed(
            envelope, purpose="token"
        )


@pytest.mark.parametrize(
    "change",
    [
        {"models": ["../magika"]},
        {"models": "magika"},
        {"models": ["m"] * 33},
        {"is_rotation_wanted": 1},
        {"revocation": {}},
        {"revocation": {"at": "never", "by": "x", "reason": ""}},
        {"key_since": "0001-01-01T00:00:00+14:00"},
        {"enrolled_at": "2026-11-22T12:00:00"},
        {"ring": -1},
    ],
)
def test_a_record_that_contradicts_its_format_is_malformed(record, change):
    document = {
        "device": "gateway-1",
        "ring": 3,
        "public_key": "pem",
        "enrolled_at": record.enrolled_at.isoformat(),
    }

    with pytest.raises(MalformedError):
        decode_device(encode_json(document | change))
