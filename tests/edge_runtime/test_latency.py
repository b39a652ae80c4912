"""The answers of the last quarter of an hour, and their percentiles."""

import random

import numpy as np
import pytest

from edge_runtime.latency import BOUNDS_MS, SLOTS_MAX, RecentTimes, quantile_ms

NOW_S = 1_800_000_000.0


def counts_of(times_ms):
    recent = RecentTimes()
    for took_ms in times_ms:
        recent.add(NOW_S, took_ms)
    (slot,) = recent.slots(NOW_S)
    return slot.counts


@pytest.mark.parametrize("typical_ms", [0.02, 0.4, 35.0, 1200.0])
@pytest.mark.parametrize("quantile", [0.5, 0.99])
def test_percentiles_are_within_a_fifth_of_the_true_ones(typical_ms, quantile):
    chance = random.Random(5)
    times_ms = [typical_ms * chance.lognormvariate(0.0, 0.8) for _ in range(5000)]
    told = quantile_ms(counts_of(times_ms), quantile)
    assert told == pytest.approx(np.quantile(times_ms, quantile), rel=0.2)


def test_what_lies_beyond_the_bounds_is_told_as_the_last_bound():
    assert quantile_ms(counts_of([1e9]), 0.5) == pytest.approx(BOUNDS_MS[-1], rel=0.2)
    assert quantile_ms(counts_of([0.0]), 0.5) <= BOUNDS_MS[0]
    assert quantile_ms([0] * (len(BOUNDS_MS) + 1), 0.5) == 0.0


def test_answers_of_ten_seconds_are_one_slot():
    recent = RecentTimes()
    for at_s in (NOW_S, NOW_S + 9.9, NOW_S + 10.0, NOW_S + 35.0):
        recent.add(at_s, 1.0)
    slots = recent.slots(NOW_S + 35.0)
    assert [slot.count for slot in slots] == [2, 1, 1]
    assert slots[0].begin_s == NOW_S


def test_only_the_last_quarter_of_an_hour_is_kept():
    recent = RecentTimes()
    for slot in range(SLOTS_MAX + 20):
        recent.add(NOW_S + 10.0 * slot, 1.0)
    last_s = NOW_S + 10.0 * (SLOTS_MAX + 19)
    assert len(recent.slots(last_s)) == SLOTS_MAX
    assert len(recent.slots(last_s + 300.0)) == SLOTS_MAX - 30
    assert recent.slots(last_s + 3600.0) == []


def test_a_clock_that_is_set_back_loses_no_later_answer():
    recent = RecentTimes()
    recent.add(NOW_S + 86_400.0, 1.0)
    recent.add(NOW_S, 2.0)
    assert [slot.count for slot in recent.slots(NOW_S)] == [1]


def test_several_processes_slots_are_summed_and_go_on():
    ours, theirs = RecentTimes(), RecentTimes()
    ours.add(NOW_S, 1.0)
    theirs.add(NOW_S, 100.0)
    theirs.add(NOW_S + 10.0, 1.0)
    ours.merge(theirs.to_plain())
    ours.add(NOW_S + 20.0, 1.0)
    assert [slot.count for slot in ours.slots(NOW_S + 20.0)] == [2, 1, 1]
