"""Retries help one caller and never make a storm worse."""

import math
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.prediction.retries import (
    BACKOFF_MAX_S,
    BACKOFF_S,
    BUDGET_LEAST,
    RETRY_AFTER_MAX_S,
    TRIES_MAX,
    WINDOW_S,
    Budget,
    is_retried,
    pause_s,
    retry_after_s,
)

LINE = "projects/p/locations/l/endpoints/1"
OTHER = "projects/p/locations/l/endpoints/2"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def take_all(budget, endpoint=LINE):
    taken = 0
    while budget.take_retry(endpoint):
        taken += 1
    return taken


def note_requests(budget, count, endpoint=LINE):
    for _ in range(count):
        budget.note_request(endpoint)


def test_the_single_failure_of_a_lone_caller_is_asked_again(clock):
    budget = Budget(clock)
    budget.note_request(LINE)
    assert [budget.take_retry(LINE) for _ in range(TRIES_MAX - 1)] == [True, True]


def test_a_lone_caller_has_a_few_retries_and_they_come_back(clock):
    budget = Budget(clock)
    budget.note_request(LINE)
    assert take_all(budget) == BUDGET_LEAST
    clock.now += WINDOW_S - 1
    assert take_all(budget) == 0
    clock.now += 1
    assert take_all(budget) == BUDGET_LEAST


def test_many_requests_allow_fewer_than_one_retry_in_ten(clock):
    budget = Budget(clock)
    note_requests(budget, 1000)
    assert take_all(budget) == 90


def test_a_short_storm_after_good_seconds_sees_less_than_a_tenth_more(clock):
    budget, rate_per_s = Budget(clock), 100
    for _ in range(WINDOW_S):
        note_requests(budget, rate_per_s)
        clock.now += 1
    seconds = 3
    taken = 0
    for _ in range(seconds):
        note_requests(budget, rate_per_s)
        taken += take_all(budget)
        clock.now += 1
    assert 0 < taken < seconds * rate_per_s * 0.1


def test_what_was_not_taken_is_lost_with_its_window(clock):
    budget = Budget(clock)
    note_requests(budget, 1000)
    clock.now += WINDOW_S
    note_requests(budget, 100)
    assert take_all(budget) == 9


def test_the_good_requests_of_one_endpoint_pay_for_no_other(clock):
    budget = Budget(clock)
    note_requests(budget, 1000, OTHER)
    assert take_all(budget) == BUDGET_LEAST
    assert take_all(budget, OTHER) == 90


def test_what_is_over_leaves_nothing_behind(clock):
    budget = Budget(clock)
    tracemalloc.start()
    for _ in range(5000):
        clock.now += 0.7
        budget.note_request(LINE)
        budget.take_retry(LINE)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 20_000


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.integers(0, 200), st.integers(0, 50)),
        max_size=30,
    )
)
def test_no_course_of_events_takes_more_than_the_budget(events):
    clock = Clock()
    budget = Budget(clock, least=0)
    requests = retries = 0
    for passed_s, came, wanted in events:
        clock.now += passed_s
        note_requests(budget, came)
        requests += came
        retries += sum(budget.take_retry(LINE) for _ in range(wanted))
        assert retries <= 0.1 * requests


@pytest.mark.parametrize("rate_per_s", [20, 200, 2000])
def test_a_storm_sees_less_than_a_tenth_more_and_clients_get_what_that_buys(rate_per_s):
    clock, draw = Clock(), random.Random(5).random
    budget = Budget(clock)
    asked = answered = 0
    requests = 20_000
    for _ in range(requests):
        clock.now += 1 / rate_per_s
        budget.note_request(LINE)
        for tried in range(1, TRIES_MAX + 1):
            asked += 1
            if draw() >= 0.3:
                answered += 1
                break
            if tried == TRIES_MAX or not budget.take_retry(LINE):
                break
    assert asked < 1.1 * requests
    # 70 in a hundred at once, and of the nine asked again 70 in a hundred.
    assert answered / requests == pytest.approx(0.7 + 0.09 * 0.7, abs=0.015)


@pytest.mark.parametrize(("status", "is_one"), [(429, True), (503, True), (504, False)])
def test_only_what_was_not_done_is_asked_again(status, is_one):
    assert is_retried(status, retries_timeouts=False) is is_one


@pytest.mark.parametrize("status", [200, 400, 401, 404, 413, 500, 502])
def test_other_answers_are_final_whatever_the_route_says(status):
    assert not is_retried(status, retries_timeouts=True)


def test_a_route_may_ask_again_after_a_time_out():
    assert is_retried(504, retries_timeouts=True)


def test_the_pause_is_drawn_from_nought_to_a_limit_that_doubles():
    assert pause_s(0, 0.0, 60.0, 0.0) == 0.0
    assert pause_s(0, 0.0, 60.0, 0.5) == pytest.approx(BACKOFF_S / 2)
    assert pause_s(1, 0.0, 60.0, 0.5) == pytest.approx(BACKOFF_S)
    assert pause_s(30, 0.0, 60.0, 0.5) == BACKOFF_MAX_S / 2


def test_the_pause_is_never_shorter_than_upstream_asks():
    assert pause_s(0, 2.0, 60.0, 0.0) == 2.0
    assert pause_s(0, 2.0, 60.0, 0.5) == pytest.approx(2.0 + BACKOFF_S / 2)


@given(st.integers(0, 5), st.floats(0, 20), st.floats(-1, 20), st.floats(0, 0.999))
def test_no_pause_goes_beyond_what_is_left(retry, asked_s, left_s, drawn):
    pause = pause_s(retry, asked_s, left_s, drawn)
    if pause is None:
        assert asked_s > min(left_s, RETRY_AFTER_MAX_S)
    else:
        assert asked_s <= pause <= left_s + 1e-9


def test_who_shall_wait_for_long_is_told_so_at_once():
    assert pause_s(0, RETRY_AFTER_MAX_S, 60.0, 0.0) == RETRY_AFTER_MAX_S
    assert pause_s(0, RETRY_AFTER_MAX_S + 1, 60.0, 0.0) is None
    assert pause_s(0, math.inf, math.inf, 0.0) is None


def test_retry_after_is_read_in_seconds():
    assert retry_after_s({"retry-after": " 7 "}) == 7.0
    assert retry_after_s({}) == 0.0


def test_retry_after_is_read_as_a_date_against_the_answers_own():
    headers = {
        "date": "Sun, 06 Nov 1994 08:49:37 GMT",
        "retry-after": "Sun, 06 Nov 1994 08:49:40 GMT",
    }
    assert retry_after_s(headers) == 3.0
    assert retry_after_s({**headers, "date": "Sun, 06 Nov 1994 09:00:00 GMT"}) == 0.0


def test_a_date_without_another_to_hold_it_against_is_not_waited_for():
    assert retry_after_s({"retry-after": "Sun, 06 Nov 1994 08:49:40 GMT"}) == math.inf


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "1e3", "9" * 400, "٣"])
def test_what_is_no_time_says_nothing(text):
    assert retry_after_s({"retry-after": text}) == 0.0


@given(st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, [0-9: A-Za-z+-]{,30}"))
def test_no_header_breaks_the_reading_of_it(text):
    assert retry_after_s({"retry-after": text, "date": text}) >= 0.0
