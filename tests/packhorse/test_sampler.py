"""Which requests are kept."""

import math
import random
from itertools import count, pairwise

import pytest

from packhorse.errors import MalformedError
from packhorse.sampler import PAUSE_S, Sampler


def seconds(step=1):
    """Return a clock that goes on by so much each time that it is looked at."""
    return count(step=step).__next__


def kept(ratio, requests, seed=1):
    sampler = Sampler(ratio, random.Random(seed).random, seconds())
    return [i for i in range(requests) if sampler.wants()]


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.3, 0.9])
def test_the_share_that_is_kept_is_the_one_that_was_asked_for(ratio):
    requests = 200_000
    deviation = math.sqrt(requests * ratio * (1 - ratio))
    assert abs(len(kept(ratio, requests)) - requests * ratio) < 4 * deviation


def test_every_place_in_a_burst_is_kept_as_often_as_any_other():
    """A sampler that counts every tenth would always keep the same place."""
    places = [0] * 10
    for i in kept(0.1, 200_000):
        places[i % 10] += 1
    expected = sum(places) / 10
    chi_squared = sum((n - expected) ** 2 / expected for n in places)
    assert chi_squared < 27.9  # 9 degrees of freedom, one in a thousand


def test_whether_one_is_kept_says_nothing_of_the_next():
    found = set(kept(0.3, 100_000))
    after_kept = sum(i + 1 in found for i in found) / len(found)
    assert abs(after_kept - 0.3) < 0.01


def test_the_first_request_is_kept_as_often_as_any_other():
    first = sum(bool(kept(0.2, 1, seed)) for seed in range(5000))
    assert abs(first / 5000 - 0.2) < 0.02


def test_all_are_kept_and_none_is():
    assert len(kept(1.0, 1000)) == 1000
    assert kept(0.0, 100_000) == []


@pytest.mark.parametrize("draw", [0.0, 1.0 - 2**-53])
def test_the_least_and_the_greatest_draw_are_gaps_too(draw):
    assert Sampler(1e-300, lambda: draw, seconds()).wants() is (draw == 0.0)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, math.nan])
def test_what_is_no_share_is_refused(ratio):
    with pytest.raises(MalformedError, match="ratio"):
        Sampler(ratio, random.random, seconds())


def test_a_busy_server_keeps_no_more_than_ten_a_second():
    now_s = [0.0]
    sampler = Sampler(0.5, random.Random(1).random, lambda: now_s[0])
    kept_s = []
    for _ in range(100_000):
        now_s[0] += 0.0001
        if sampler.wants():
            kept_s.append(now_s[0])
    pauses = [b - a for a, b in pairwise(kept_s)]
    assert PAUSE_S <= min(pauses) <= max(pauses) < 1.1 * PAUSE_S


@pytest.mark.parametrize("step_s", [0.00001, 0.001, 1.0])
def test_what_is_kept_stands_for_all_requests_however_many_came(step_s):
    now_s, stands_for, requests = [0.0], 0.0, 300_000
    sampler = Sampler(0.05, random.Random(2).random, lambda: now_s[0])
    for _ in range(requests):
        now_s[0] += step_s
        if sampler.wants():
            stands_for += 1 / sampler.ratio
    assert stands_for == pytest.approx(requests, rel=0.05)


def test_who_asks_for_all_gets_all_however_fast_they_come():
    sampler = Sampler(1.0, random.random, lambda: 0.0)
    assert all(sampler.wants() for _ in range(1000))
    assert sampler.ratio == 1.0
