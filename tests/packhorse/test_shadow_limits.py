"""The limits of a shadow run: signed by the owner, made stricter by a gateway."""

import pytest

from packhorse.errors import MalformedError
from packhorse.shadow_limits import (
    DEFAULT_MIN_REQUESTS,
    NO_LIMITS,
    ShadowLimits,
    decode_shadow_limits,
    encode_shadow_limits,
)

SIGNED = ShadowLimits(0.9, 2.0, min_requests=50)


@pytest.mark.parametrize("limits", [SIGNED, NO_LIMITS, ShadowLimits(0.5)])
def test_limits_read_back_the_same(limits):
    assert decode_shadow_limits(encode_shadow_limits(limits)) == limits


def test_documents_of_old_say_nothing_and_limit_nothing():
    assert decode_shadow_limits(None) == NO_LIMITS
    assert not NO_LIMITS.can_refuse


@pytest.mark.parametrize(
    ("own", "both"),
    [
        (NO_LIMITS, SIGNED),
        (ShadowLimits(0.5, 9.0, min_requests=1), SIGNED),
        (ShadowLimits(0.99, 1.5), ShadowLimits(0.99, 1.5, min_requests=50)),
    ],
    ids=["none", "wider", "stricter"],
)
def test_a_gateway_can_only_be_stricter(own, both):
    assert SIGNED.tightened(own) == both


def test_a_gateway_has_limits_where_nothing_was_signed():
    assert NO_LIMITS.tightened(ShadowLimits(0.9)) == ShadowLimits(0.9)
    assert NO_LIMITS.tightened(NO_LIMITS) == NO_LIMITS
    assert NO_LIMITS.min_requests == DEFAULT_MIN_REQUESTS


@pytest.mark.parametrize(
    "change",
    [
        {"min_agreement": 0},
        {"min_agreement": 1.01},
        {"min_agreement": "1"},
        {"max_latency_ratio": 0},
        {"max_latency_ratio": 1e9},
        {"min_requests": 0},
        {"min_requests": 1.5},
        {"surprise": 1},
    ],
    ids=str,
)
def test_limits_that_are_none_are_refused(change):
    with pytest.raises(MalformedError):
        decode_shadow_limits(encode_shadow_limits(SIGNED) | change)
