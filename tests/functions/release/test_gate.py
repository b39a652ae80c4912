"""When a ring opens, when a release is taken back, and how many may be hurt."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.errors import RolloutError
from functions.release import rollout
from functions.release.gate import (
    Decision,
    Gate,
    RingCounts,
    decide,
    failure_reason,
    first_share,
    limit_devices,
    rings_to_open,
    widest_share,
)
from packhorse.assignment import device_position

DEVICES = st.lists(
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True), unique=True, max_size=60
)


def test_a_rollout_that_waits_opens_the_first_ring(waiting, gate, now):
    assert decide(waiting, {}, gate, rings=[0, 1], now=now) is Decision.OPEN_FIRST


def test_without_any_device_parity_in_the_cloud_is_all_there_is(waiting, gate, now):
    assert decide(waiting, {}, gate, rings=[], now=now) is Decision.FINISH


def test_a_ring_waits_out_its_soak_whatever_succeeded(opened, gate, later):
    counts = {0: RingCounts(offered=10, succeeded=10, failed=0)}

    assert decide(opened, counts, gate, rings=[0, 1], now=later(59)) is Decision.WAIT


def test_the_next_ring_opens_when_the_soak_is_over_and_enough_succeeded(
    opened, gate, later
):
    counts = {0: RingCounts(offered=10, succeeded=9, failed=1)}

    decision = decide(opened, counts, gate, rings=[0, 1], now=later(60))

    assert decision is Decision.OPEN_NEXT


def test_silent_devices_hold_the_ring_back(opened, gate, later):
    counts = {0: RingCounts(offered=10, succeeded=8, failed=0)}

    assert decide(opened, counts, gate, rings=[0, 1], now=later(599)) is Decision.WAIT


def test_silent_devices_are_passed_over_when_patience_ends(opened, gate, later):
    counts = {0: RingCounts(offered=10, succeeded=1, failed=0)}

    decision = decide(opened, counts, gate, rings=[0, 1], now=later(600))

    assert decision is Decision.OPEN_NEXT


def test_patience_does_not_pass_a_ring_in_which_something_failed(opened, gate, later):
    counts = {0: RingCounts(offered=20, succeeded=8, failed=1)}

    assert decide(opened, counts, gate, rings=[0, 1], now=later(6000)) is Decision.WAIT


def test_nothing_opens_before_a_single_device_has_answered(opened, gate, later):
    counts = {0: RingCounts(offered=1, succeeded=0, failed=0)}

    assert decide(opened, counts, gate, rings=[0, 1], now=later(9999)) is Decision.WAIT


def test_a_last_ring_that_is_switched_off_does_not_stall_the_rollout(
    opened, gate, later
):
    wider = rollout.open_wider(
        opened, rings=(0, 1), traffic_percent=5, at=opened.opened_at
    )
    counts = {0: RingCounts(1, 1, 0), 1: RingCounts(1, 0, 0)}

    assert decide(wider, counts, gate, rings=[0, 1], now=later(599)) is Decision.WAIT
    assert decide(wider, counts, gate, rings=[0, 1], now=later(600)) is Decision.FINISH


def test_one_failure_in_a_small_ring_withdraws_during_the_soak(opened, gate, later):
    counts = {0: RingCounts(offered=1, succeeded=0, failed=1)}

    assert decide(opened, counts, gate, rings=[0, 1], now=later(1)) is Decision.WITHDRAW


def test_a_failure_in_an_earlier_ring_still_withdraws(opened, gate, later):
    wider = rollout.open_wider(
        opened, rings=(0, 1), traffic_percent=5, at=opened.opened_at
    )
    counts = {0: RingCounts(1, 0, 1), 1: RingCounts(9, 9, 0)}

    assert decide(wider, counts, gate, rings=[0, 1], now=later(90)) is Decision.WITHDRAW


def test_a_halted_rollout_waits_but_is_still_withdrawn_on_failure(opened, gate, later):
    halted = rollout.halt(opened, reason="a hunch")
    good, bad = {0: RingCounts(1, 1, 0)}, {0: RingCounts(1, 0, 1)}

    assert decide(halted, good, gate, rings=[0], now=later(999)) is Decision.WAIT
    assert decide(halted, bad, gate, rings=[0], now=later(1)) is Decision.WITHDRAW


def test_a_rollout_that_is_over_waits_for_ever(upgraded, gate, later):
    assert decide(upgraded, {}, gate, rings=[0], now=later(9999)) is Decision.WAIT


def test_a_single_ring_opens_whole_before_the_rollout_finishes(opened, gate, later):
    counts = {0: RingCounts(1, 1, 0)}
    whole = replace(opened, shares={0: 10_000})

    decision = decide(opened, counts, gate, rings=[0], now=later(60))

    assert decision is Decision.OPEN_NEXT
    assert rings_to_open(opened, [0]) == (0,)
    assert decide(whole, counts, gate, rings=[0], now=later(60)) is Decision.FINISH


def test_the_next_ring_opens_together_with_the_rest_of_the_first(opened):
    assert rings_to_open(opened, [2, 0, 7]) == (0, 2)


def test_a_ring_that_gains_devices_later_is_caught_up(opened):
    past = replace(opened, ring=2, shares={0: 10_000, 2: 10_000})

    assert rings_to_open(past, [0, 1, 2]) == (1,)


def test_the_reason_names_the_ring_the_count_and_a_devices_own_words(opened, waiting):
    counts = {0: RingCounts(1, 1, 0), 1: RingCounts(4, 1, 2, reason="NaN in probs")}
    silent = {0: RingCounts(1, 0, 1)}

    assert failure_reason(opened, counts) == (
        "2 of 4 devices in ring 1 could not serve magika@2: NaN in probs"
    )
    assert failure_reason(rollout.finish(waiting), silent) == (
        "1 of 1 devices in ring 0 could not serve"
    )


@pytest.mark.parametrize(
    ("offered", "succeeded", "failed"),
    [(3, 2, 2), (1, -1, 0)],
    ids=["too many", "negative"],
)
def test_counts_that_no_ring_can_produce_are_refused(offered, succeeded, failed):
    with pytest.raises(RolloutError):
        RingCounts(offered=offered, succeeded=succeeded, failed=failed)


@pytest.mark.parametrize(
    "changes",
    [{"min_success_ratio": 0}, {"fleet_share": 1.1}, {"soak_s": 601}, {"soak_s": -1}],
    ids=str,
)
def test_a_gate_that_holds_nothing_back_is_refused(gate, changes):
    with pytest.raises(RolloutError):
        replace(gate, **changes)


@pytest.mark.parametrize(
    ("fleet", "limit"), [(0, 1), (2, 1), (20, 1), (40, 2), (1000, 50), (1019, 50)]
)
def test_the_first_ring_admits_one_device_or_its_share_of_the_fleet(gate, fleet, limit):
    assert limit_devices(fleet, gate) == limit


@given(DEVICES, st.integers(1, 80))
def test_the_widest_share_admits_no_more_than_the_limit(devices, limit):
    share = widest_share(devices, "magika-2-7", limit)

    assert _admitted(devices, "magika-2-7", share) <= limit


@given(DEVICES, st.integers(1, 80))
def test_a_share_wider_by_the_least_amount_would_admit_too_many(devices, limit):
    share = widest_share(devices, "magika-2-7", limit)

    assert (
        share == rollout.WHOLE_RING
        or _admitted(devices, "magika-2-7", share + 1) > limit
    )


@given(DEVICES, st.integers(0, 10_000), st.integers(0, 10_000))
def test_widening_keeps_everybody_in(devices, one, other):
    narrow, wide = sorted((one, other))

    admitted = [d for d in devices if device_position("magika-2-7", d) < narrow]

    assert all(device_position("magika-2-7", device) < wide for device in admitted)


@given(DEVICES.filter(bool), st.integers(1, 80))
def test_the_first_share_admits_somebody_and_no_more_than_the_limit(devices, limit):
    rollout_id, share = first_share(devices, "magika-2-7", limit)

    assert 1 <= _admitted(devices, rollout_id, share) <= limit


def test_two_devices_in_the_same_place_are_dealt_anew():
    # The first pair, by brute force, that shares the foremost place.
    devices = _twins("magika-2-7")

    rollout_id, share = first_share(devices, "magika-2-7", 1)

    assert widest_share(devices, "magika-2-7", 1) == device_position(
        "magika-2-7", devices[0]
    )
    assert rollout_id == "magika-2-7-1"
    assert _admitted(devices, rollout_id, share) == 1


def test_a_ring_that_cannot_be_opened_narrowly_enough_is_an_error():
    with pytest.raises(RolloutError, match="no share of a ring of 0"):
        first_share([], "magika-2-7", 1)


def test_a_gate_knows_no_ring_it_was_told_nothing_about(opened, later):
    lax = Gate(min_success_ratio=0.5, soak_s=0, patience_s=0, fleet_share=1)
    elsewhere = {5: RingCounts(2, 1, 0)}

    decision = decide(opened, elsewhere, lax, rings=[0, 1], now=later(1))

    assert decision is Decision.OPEN_NEXT


def _admitted(devices, rollout_id, share):
    return sum(device_position(rollout_id, device) < share for device in devices)


def _twins(rollout_id):
    seen = {}
    for number in range(100_000):
        device = f"gateway-{number}"
        twin = seen.setdefault(device_position(rollout_id, device), device)
        if twin != device:
            return [twin, device]
    raise AssertionError
