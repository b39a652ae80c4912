"""A device's record is replaced only by who has seen it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from functions.adapters.device_register import DeviceRegister
from functions.errors import ConflictError, UpstreamRefusedError
from functions.release.device_record import DeviceRecord, device_name
from packhorse.errors import UntrustedError

RECORD = DeviceRecord("a", 0, "pem", datetime(2026, 11, 22, tzinfo=UTC))


@pytest.fixture
def register(store):
    return DeviceRegister(store)


def test_a_record_is_found_as_it_was_saved(register):
    assert register.find("a") is None

    register.save(RECORD, instead_of=None)

    assert register.find("a").record == register.read("a") == RECORD


def test_whoever_comes_second_must_look_again(register):
    register.save(RECORD, instead_of=None)
    seen = register.find("a")
    register.save(replace(RECORD, ring=1), instead_of=seen)

    for stale in (seen, None):
        with pytest.raises(ConflictError):
            register.save(replace(RECORD, ring=2), instead_of=stale)
    assert register.read("a").ring == 1


def test_an_unknown_device_is_not_to_be_trusted(register):
    with pytest.raises(UntrustedError, match="no device b"):
        register.read("b")


def test_a_broken_record_is_not_the_devices_fault(register, store):
    store.write_if_generation(device_name("a"), b"{", 0)

    for look in (register.find, register.read):
        with pytest.raises(UpstreamRefusedError):
            look("a")
