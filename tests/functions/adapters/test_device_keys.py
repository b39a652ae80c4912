"""Records are looked up once and believed for a while."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from functions.adapters import device_keys
from functions.adapters.device_keys import FRESH_S, DeviceKeys
from functions.errors import DeviceRefusedError, UpstreamRefusedError
from functions.release.device_record import DeviceRecord, Revocation, device_name
from packhorse.errors import UntrustedError
from packhorse.report import open_envelope
from tests.functions.fleet import Gateway
from tests.standing_clock import StandingClock

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture
def keys(store, clock):
    return DeviceKeys(store, clock=clock)


@pytest.fixture
def enrol(device_register):
    def do(gateway, **changes):
        record = DeviceRecord(gateway.name, 0, gateway.public_key, NOW)
        found = device_register.find(gateway.name)
        device_register.save(replace(record, **changes), instead_of=found)

    return do


def report(gateway):
    return open_envelope(gateway.report())


def remove(store, device):
    store._bucket.blob(device_name(device)).delete()  # noqa: SLF001


def test_a_record_that_is_gone_is_believed_only_for_a_while(keys, enrol, store, clock):
    gateway = Gateway("a")
    enrol(gateway)
    assert keys.check(report(gateway)).device == "a"
    remove(store, "a")
    keys.check(report(gateway))

    clock.now += FRESH_S

    with pytest.raises(UntrustedError, match="no device a"):
        keys.check(report(gateway))


def test_a_revoked_device_is_refused_after_a_while_at_the_latest(keys, enrol, clock):
    gateway = Gateway("a")
    enrol(gateway)
    keys.check(report(gateway))
    enrol(gateway, revocation=Revocation(NOW, "operator@example.com", "stolen"))

    clock.now += FRESH_S

    with pytest.raises(DeviceRefusedError):
        keys.check(report(gateway))


def test_a_new_key_is_believed_at_once(keys, enrol):
    before, after = Gateway("a"), Gateway("a")
    enrol(before)
    keys.check(report(before))
    enrol(after)

    assert keys.check(report(after)).public_key == after.public_key
    with pytest.raises(UntrustedError):
        keys.check(report(before))


def test_a_device_that_was_refused_is_asked_for_each_time(keys, enrol):
    gateway = Gateway("a")
    enrol(gateway, revocation=Revocation(NOW, "operator@example.com", "stolen"))
    with pytest.raises(DeviceRefusedError):
        keys.check(report(gateway))
    enrol(gateway)

    assert keys.check(report(gateway)).revocation is None


def test_an_unknown_device_is_asked_for_each_time(keys, enrol):
    gateway = Gateway("a")
    with pytest.raises(UntrustedError):
        keys.check(report(gateway))
    enrol(gateway)

    assert keys.check(report(gateway)).device == "a"


def test_an_envelope_is_good_for_its_purpose_alone(keys, enrol):
    gateway = Gateway("a")
    enrol(gateway)

    with pytest.raises(UntrustedError):
        keys.check(report(gateway), purpose="token")


def test_a_broken_record_is_nobodys_malformed_request(keys, store):
    store.write_if_generation(device_name("a"), b"[]", 0)

    with pytest.raises(UpstreamRefusedError):
        keys.check(report(Gateway("a")))


def test_the_oldest_record_makes_room(keys, enrol, store, monkeypatch):
    monkeypatch.setattr(device_keys, "KEYS_MAX", 2)
    gateways = [Gateway(name) for name in ("a", "b", "c")]
    for gateway in gateways:
        enrol(gateway)
        keys.check(report(gateway))
        remove(store, gateway.name)

    assert keys.check(report(gateways[2])).device == "c"
    with pytest.raises(UntrustedError):
        keys.check(report(gateways[0]))
