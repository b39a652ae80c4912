"""How often a gateway looks, whoever wants it to."""

import itertools
import threading
import time

import pytest

from edge_runtime.agent.schedule import (
    BACKOFF_MAX_S,
    GAP_S,
    JITTER,
    NOTICE_S,
    NOTICES_AT_ONCE,
    QUIET_MAX_S,
    SPREAD_MAX_S,
    Schedule,
    backoff_s,
)
from tests.standing_clock import StandingClock

POLL_S = 300.0


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture
def schedule(clock):
    return Schedule(POLL_S, clock=clock)


def count_looks(schedule, clock, *, for_s, each=lambda: None):
    """Go on for a time in small steps; return when it looked."""
    looks = []
    for _ in range(int(for_s / 0.25)):
        each()
        if schedule.is_due():
            schedule.begin()
            looks.append(clock.now)
        clock.now += 0.25
    return looks


def test_the_first_look_is_at_once_and_the_next_after_the_poll_time(schedule, clock):
    looks = count_looks(schedule, clock, for_s=10 * POLL_S)
    gaps = [b - a for a, b in itertools.pairwise(looks)]
    assert looks[0] == 1000.0
    assert all(
        POLL_S * (1 - JITTER) <= gap <= POLL_S * (1 + JITTER) + 1 for gap in gaps
    )
    assert len(set(gaps)) > 1


def test_first_looks_after_a_power_cut_are_spread():
    starts = []
    for _ in range(200):
        clock = StandingClock()
        schedule = Schedule(POLL_S, clock=clock)
        schedule.spread_start()
        starts += count_looks(schedule, clock, for_s=SPREAD_MAX_S + 1)[:1]
    in_a_tenth = [s for s in starts if s - 1000 < SPREAD_MAX_S / 10]
    assert len(starts) == 200
    assert 0 < len(in_a_tenth) < 60


def test_a_notice_brings_the_next_look_forward(schedule, clock):
    schedule.begin()
    clock.now += GAP_S
    assert not schedule.is_due()
    schedule.ring()
    assert schedule.is_due()


def test_a_notice_during_a_look_asks_for_another_one(schedule, clock):
    schedule.begin()
    schedule.ring()
    assert not schedule.is_due()
    clock.now += GAP_S
    assert schedule.is_due()


def test_a_flood_of_notices_costs_a_few_looks_and_then_one_in_ten_seconds(
    schedule, clock
):
    schedule.begin()
    looks = count_looks(schedule, clock, for_s=100, each=schedule.ring)
    assert len(looks) == pytest.approx(NOTICES_AT_ONCE + 100 / NOTICE_S, abs=1)
    gaps = [b - a for a, b in itertools.pairwise(looks)]
    assert min(gaps) >= GAP_S


def test_after_a_flood_a_real_notice_is_heard_within_ten_seconds(schedule, clock):
    schedule.begin()
    count_looks(schedule, clock, for_s=60, each=schedule.ring)
    schedule.begin()
    schedule.ring()
    assert count_looks(schedule, clock, for_s=NOTICE_S + 1)


def test_an_old_notice_is_answered_within_a_minute_and_not_by_all_at_once():
    delays = []
    for _ in range(100):
        clock = StandingClock()
        schedule = Schedule(POLL_S, clock=clock)
        schedule.begin()
        schedule.ring(is_old=True)
        delays += [at - 1000 for at in count_looks(schedule, clock, for_s=61)][:1]
    assert len(delays) == 100
    assert len([d for d in delays if d < 10]) < 40


def test_a_new_notice_does_not_wait_for_an_old_one(schedule, clock):
    schedule.begin()
    clock.now += GAP_S
    schedule.ring(is_old=True)
    schedule.ring()
    assert schedule.is_due()


def test_a_repository_that_asks_for_quiet_gets_it_also_from_notices(schedule, clock):
    schedule.be_quiet(120.0)
    schedule.ring()
    looks = count_looks(schedule, clock, for_s=130)
    assert looks[0] == 1120.0


def test_no_repository_gets_more_than_an_hour_of_quiet(schedule, clock):
    schedule.be_quiet(1e9)
    clock.now += QUIET_MAX_S
    assert schedule.is_due()


def test_a_failure_brings_a_look_forward_and_never_puts_one_off(schedule, clock):
    schedule.begin()
    schedule.retry_in(2.0)
    clock.now += 2.0 * (1 + JITTER)
    assert schedule.is_due()
    schedule.retry_in(1000.0)
    assert schedule.is_due()


def test_waits_grow_with_failures_up_to_a_limit():
    waits = [backoff_s(failures) for failures in range(40)]
    assert waits == sorted(waits)
    assert waits[0] == 1.0
    assert waits[-1] == BACKOFF_MAX_S


def test_a_sleep_ends_with_a_notice_from_another_thread():
    schedule = Schedule(3600.0)
    schedule.begin()
    begun_s = time.monotonic()
    ringer = threading.Timer(0.05, schedule.ring)
    ringer.start()

    schedule.sleep(30.0)

    ringer.join()
    assert GAP_S * 0.9 < time.monotonic() - begun_s < 10
    assert schedule.is_due()


def test_a_sleep_ends_by_itself():
    schedule = Schedule(3600.0)
    schedule.begin()
    schedule.sleep(0.05)
    assert not schedule.is_due()
