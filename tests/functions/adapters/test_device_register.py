"""A device's record is replaced only by who has seen it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from functions.errors import ConflictError, UpstreamRefusedError
from functions.release.device_record import DeviceRecord, device_name
from packhorse.errors import UntrustedError

RECORD = DeviceRecord("a", 0, "pem", datetime(2026, 11, 22, tzinfo=UTC))


def test_a_record_is_found_as_it_was_saved(device_register):
    assert device_register.find("a") is None

    device_register.save(RECORD, instead_of=None)

    assert device_register.find("a").record == device_register.read("a") == RECORD


def test_whoever_comes_second_must_look_again(device_register):
    device_register.save(RECORD, instead_of=None)
    seen = device_register.find("a")
    device_register.save(replace(RECORD, ring=1), instead_of=seen)

    for stale in (seen, None):
        with pytest.raises(ConflictError):
            device_register.save(replace(RECORD, ring=2), instead_of=stale)
    assert device_register.read("a").ring == 1


def test_an_unknown_device_is_not_to_be_trusted(device_register):
    with pytest.raises(UntrustedError, match="no device b"):
        device_register.read("b")


def test_a_broken_record_is_not_the_devices_fault(device_register, store):
    store.write_if_generation(device_name("a"), b"{", 0)

    for look in (device_register.find, device_register.read):
        with pytest.raises(UpstreamRefusedError):
            look("a")
