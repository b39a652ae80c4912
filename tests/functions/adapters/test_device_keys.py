"""Keys are looked up once and believed for a while."""

from datetime import UTC, datetime

import pytest

from functions.adapters import device_keys
from functions.adapters.device_keys import FRESH_S, DeviceKeys
from functions.errors import UpstreamRefusedError
from functions.release.enrolment import DeviceRecord, device_name, encode_device
from packhorse.errors import UntrustedError


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keys(store, clock):
    return DeviceKeys(store, clock=clock)


@pytest.fixture
def enrol(store):
    def do(device):
        record = DeviceRecord(device, 0, f"pem of {device}", datetime.now(UTC))
        store.write_if_generation(device_name(device), encode_device(record), 0)

    return do


def remove(store, device):
    store._bucket.blob(device_name(device)).delete()  # noqa: SLF001


def test_a_removed_key_is_believed_only_for_a_while(keys, enrol, store, clock):
    enrol("a")
    assert keys.find("a") == "pem of a"
    remove(store, "a")
    assert keys.find("a") == "pem of a"

    clock.now += FRESH_S

    with pytest.raises(UntrustedError, match="no device a"):
        keys.find("a")


def test_an_unknown_device_is_asked_for_each_time(keys, enrol):
    with pytest.raises(UntrustedError):
        keys.find("a")
    enrol("a")

    assert keys.find("a") == "pem of a"


def test_a_broken_record_is_nobodys_malformed_request(keys, store):
    store.write_if_generation(device_name("a"), b"[]", 0)

    with pytest.raises(UpstreamRefusedError):
        keys.find("a")


def test_the_oldest_key_makes_room(keys, enrol, store, monkeypatch):
    monkeypatch.setattr(device_keys, "KEYS_MAX", 2)
    for device in ("a", "b", "c"):
        enrol(device)
        keys.find(device)
        remove(store, device)

    assert keys.find("c") == "pem of c"
    with pytest.raises(UntrustedError):
        keys.find("a")
