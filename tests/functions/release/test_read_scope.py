"""A device reads what concerns its own models, and asks for it just now."""

from datetime import timedelta

import pytest

from functions.errors import DeviceRefusedError
from functions.release.device_record import DeviceRecord
from functions.release.read_scope import WINDOW, check_request, readable_prefixes
from packhorse.assignment import bundle_target, rollout_target
from packhorse.device_requests import TokenRequest
from packhorse.names import Release

SECOND = timedelta(seconds=1)


def is_readable(name, model):
    return name.startswith(readable_prefixes(model))


def test_metadata_rollouts_and_the_models_bundles_are_readable():
    bundle = bundle_target(Release("magika", 2), "fp32")

    assert is_readable("metadata/timestamp.json", "magika")
    assert is_readable(f"targets/{rollout_target('magika')}", "magika")
    assert is_readable(f"targets/{bundle}", "magika")


def test_nothing_else_is():
    other = bundle_target(Release("magika-large", 2), "fp32")

    assert not is_readable(f"targets/{other}", "magika")
    assert not is_readable("devices/gateway-1.json", "magika")
    assert not is_readable("targets/", "magika")


@pytest.mark.parametrize("offset", [-WINDOW, -SECOND, WINDOW])
def test_a_request_of_just_now_is_accepted(now, offset):
    record = DeviceRecord("gateway-1", 0, "pem", now)

    check_request(TokenRequest("magika", now + offset), record, now=now)


@pytest.mark.parametrize("offset", [-WINDOW - SECOND, WINDOW + SECOND])
def test_one_of_another_time_is_told_the_time(now, offset):
    record = DeviceRecord("gateway-1", 0, "pem", now)

    with pytest.raises(DeviceRefusedError, match="sign again") as refused:
        check_request(TokenRequest("magika", now + offset), record, now=now)

    assert refused.value.told == {"now": now.isoformat()}


def test_a_device_reads_only_the_models_that_it_was_invited_for(now):
    record = DeviceRecord("gateway-1", 0, "pem", now, models=("digits", "magika"))

    check_request(TokenRequest("magika", now), record, now=now)
    with pytest.raises(DeviceRefusedError, match="not for other") as refused:
        check_request(TokenRequest("other", now), record, now=now)
    assert refused.value.told == {}
