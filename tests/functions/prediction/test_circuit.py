"""A failing upstream is left alone, and asked again as soon as it may be well."""

import itertools
import random
import tracemalloc

import pytest

from functions.errors import CircuitOpenError
from functions.prediction.circuit import (
    LATE_LEAST_S,
    LATELY_S,
    MODELS_MAX,
    Circuits,
    Turn,
)
from functions.prediction.circuit_state import (
    OPENS_AT,
    PROBE_FIRST_S,
    PROBE_MAX_S,
    PROBES_MAX,
)

LINE = "projects/p/locations/l/endpoints/1"
OTHER = "projects/p/locations/l/endpoints/2"
ENOUGH = int(OPENS_AT)
LIMIT_S = 60.0


class Traffic:
    """Callers' requests to one endpoint, at times of the test's choosing."""

    def __init__(self, draw=lambda: 0.5):
        self.now = 1000.0
        self.circuits = Circuits(lambda: self.now, draw)

    def ask(self, status, model="", endpoint=LINE):
        permit = self.circuits.admit(endpoint)
        permit.answered(status, model)
        permit.close()

    def ask_often(self, count, status, model=""):
        for _ in range(count):
            self.ask(status, model)

    def is_refused(self, endpoint=LINE):
        return self.circuits.shut_for_s(endpoint) > 0

    def wait_for_probe(self):
        began = self.now
        while self.is_refused():
            self.now += 0.01
            assert self.now < began + 3600
        return self.now - began


@pytest.fixture
def traffic():
    return Traffic()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("model", ["", "77"], ids=["endpoint", "model"])
def test_an_upstream_that_fails_often_enough_is_asked_no_more(traffic, status, model):
    traffic.ask_often(ENOUGH - 1, status, model)
    assert not traffic.is_refused()
    traffic.ask(status, model)
    with pytest.raises(CircuitOpenError) as raised:
        traffic.circuits.admit(LINE)
    assert 0 < raised.value.retry_after_s <= PROBE_MAX_S


@pytest.mark.parametrize("status", [200, 400, 401, 404, 413, 429, 501])
@pytest.mark.parametrize("model", ["", "77"], ids=["endpoint", "model"])
def test_what_is_the_callers_or_the_quotas_fault_is_no_failure(traffic, status, model):
    traffic.ask_often(10 * ENOUGH, status, model)
    assert not traffic.is_refused()


def test_a_failing_endpoint_closes_no_other(traffic):
    traffic.ask_often(ENOUGH, 503)
    assert traffic.is_refused(LINE)
    assert not traffic.is_refused(OTHER)


def test_a_request_that_broke_is_a_failure(traffic):
    for _ in range(ENOUGH):
        permit = traffic.circuits.admit(LINE)
        permit.failed()
        permit.close()
    assert traffic.is_refused()


def test_a_request_that_was_given_up_says_nothing(traffic):
    for _ in range(10 * ENOUGH):
        traffic.circuits.admit(LINE).close()
    assert not traffic.is_refused()


def test_failures_one_a_second_are_not_in_the_way(traffic):
    for _ in range(1000):
        traffic.now += 1
        traffic.ask(503)


@pytest.mark.parametrize("seed", range(20))
def test_a_storm_of_three_in_ten_never_opens_it(seed):
    traffic = Traffic()
    draw = random.Random(seed).random
    for _ in range(20_000):
        traffic.ask(503 if draw() < 0.3 else 200)


@pytest.mark.parametrize("seed", range(20))
def test_two_failures_in_three_open_it_within_some_hundred(seed):
    traffic = Traffic()
    draw = random.Random(seed).random
    for _ in range(300):
        if not traffic.is_refused():
            traffic.ask(503 if draw() < 2 / 3 else 200)
    assert traffic.is_refused()


def test_the_first_good_answer_closes_it(traffic):
    traffic.ask_often(ENOUGH, 503)
    traffic.wait_for_probe()
    traffic.ask(200)
    traffic.ask_often(ENOUGH - 1, 503)
    assert not traffic.is_refused()


def test_the_first_probe_goes_at_once_and_later_ones_each_second(traffic):
    traffic.ask_often(ENOUGH, 503)
    pauses = []
    for _ in range(50):
        pauses.append(traffic.wait_for_probe())
        traffic.ask(503)
    assert pauses[0] <= PROBE_FIRST_S
    assert pauses == sorted(pauses)
    assert max(pauses) <= PROBE_MAX_S
    assert len([pause for pause in pauses if pause < 0.4]) <= 3


def test_one_probe_goes_at_a_time(traffic):
    traffic.ask_often(ENOUGH, 503)
    traffic.wait_for_probe()
    traffic.circuits.admit(LINE)
    assert traffic.is_refused()
    with pytest.raises(CircuitOpenError):
        traffic.circuits.admit(LINE)


def test_looking_takes_no_probes_place(traffic):
    traffic.ask_often(ENOUGH, 503)
    traffic.wait_for_probe()
    assert not traffic.is_refused()
    assert not traffic.is_refused()
    traffic.ask(200)


def test_instances_that_gave_up_together_do_not_ask_together():
    pauses = set()
    for drawn in (0.0, 0.3, 0.6, 0.9):
        traffic = Traffic(lambda drawn=drawn: drawn)
        traffic.ask_often(ENOUGH, 503)
        pauses.add(round(traffic.wait_for_probe(), 2))
    assert len(pauses) == 4
    assert min(pauses) >= PROBE_FIRST_S / 2


def stall(traffic, duration_s):
    """Send what may go to an upstream that answers nothing; nobody gives up."""
    permits = []
    until = traffic.now + duration_s
    while traffic.now < until:
        if not traffic.is_refused():
            permits.append(traffic.circuits.admit(LINE))
        traffic.now += 0.05
    return permits


def test_a_stall_holds_few_callers_and_is_still_probed(traffic):
    traffic.ask_often(ENOUGH, 503)
    assert 8 <= len(stall(traffic, 60)) < PROBES_MAX
    assert traffic.wait_for_probe() < PROBES_MAX * PROBE_MAX_S


def test_a_stall_of_an_hour_holds_no_more_than_so_many(traffic):
    traffic.ask_often(ENOUGH, 503)
    permits = stall(traffic, 600)
    assert len(permits) == PROBES_MAX
    permits[0].close()
    assert not traffic.is_refused()


def test_what_began_before_a_change_says_nothing_of_what_is_now(traffic):
    old = [traffic.circuits.admit(LINE) for _ in range(2 * ENOUGH)]
    traffic.ask_often(ENOUGH, 503)
    old[0].answered(200, "")
    assert traffic.is_refused()
    traffic.wait_for_probe()
    stalled = traffic.circuits.admit(LINE)
    traffic.wait_for_probe()
    traffic.ask(200)
    for permit in (*old[1:], stalled):
        permit.failed()
        permit.close()
    traffic.ask_often(ENOUGH - 1, 503)
    assert not traffic.is_refused()


def test_probes_that_never_came_back_do_not_slow_those_of_the_next_failure(traffic):
    traffic.ask_often(ENOUGH, 503)
    stalled = stall(traffic, 60)
    traffic.wait_for_probe()
    traffic.ask(200)
    traffic.ask_often(ENOUGH, 503)
    assert traffic.wait_for_probe() <= PROBE_FIRST_S
    for permit in stalled:
        permit.close()
    assert len(stall(traffic, 600)) == PROBES_MAX


def test_a_bad_model_beside_a_good_one_refuses_nobody(traffic):
    for _ in range(10 * ENOUGH):
        traffic.ask(500, "bad")
        traffic.ask(200, "good")


def test_when_every_model_that_answers_fails_requests_are_refused(traffic):
    traffic.ask_often(ENOUGH, 500, "one")
    traffic.wait_for_probe()
    traffic.ask(200, "other")
    traffic.ask_often(ENOUGH, 500, "other")
    assert traffic.is_refused()
    traffic.wait_for_probe()
    traffic.ask(200, "one")
    assert not traffic.is_refused()


def test_a_model_that_is_no_longer_there_stands_in_nobodys_way(traffic):
    traffic.ask_often(ENOUGH, 500, "gone")
    assert traffic.is_refused()
    traffic.now += LATELY_S
    assert not traffic.is_refused()
    traffic.ask_often(ENOUGH - 1, 500, "new")
    assert not traffic.is_refused()
    traffic.ask(500, "new")
    assert traffic.is_refused()


def test_a_new_model_opens_the_way_at_once(traffic):
    traffic.ask_often(ENOUGH, 500, "bad")
    traffic.wait_for_probe()
    traffic.ask(200, "new")
    assert not traffic.is_refused()


def test_a_model_that_fails_speaks_for_the_endpoint_that_reached_it(traffic):
    traffic.ask_often(ENOUGH, 503)
    traffic.wait_for_probe()
    traffic.ask(500, "bad")
    assert not traffic.is_refused()


def ask_late(traffic, allowed_s, count=ENOUGH):
    for _ in range(count):
        permit = traffic.circuits.admit(LINE)
        permit.was_late(allowed_s, LIMIT_S)
        permit.close()


def answer_after(traffic, took_s):
    for _ in range(50):
        permit = traffic.circuits.admit(LINE)
        traffic.now += took_s
        permit.answered(200, "77")
        permit.close()


def test_an_upstream_that_lets_callers_wait_for_nothing_is_asked_no_more(traffic):
    answer_after(traffic, 0.02)
    ask_late(traffic, LATE_LEAST_S)
    assert traffic.is_refused()


def test_callers_in_a_hurry_close_no_slow_model(traffic):
    answer_after(traffic, 5.0)
    ask_late(traffic, 10.0, 10 * ENOUGH)
    assert not traffic.is_refused()
    ask_late(traffic, 20.0)
    assert traffic.is_refused()


def test_the_usual_time_of_an_answer_is_known(traffic):
    assert traffic.circuits.usual_s(LINE) == 0.0
    answer_after(traffic, 0.5)
    answer_after(traffic, 0.1)
    assert traffic.circuits.usual_s(LINE) == pytest.approx(0.1, abs=0.01)


def test_an_endpoint_that_takes_all_its_time_fails_however_slow_it_is(traffic):
    answer_after(traffic, 50.0)
    ask_late(traffic, LIMIT_S - 0.01)
    assert traffic.is_refused()


def test_a_probe_of_a_caller_in_a_hurry_makes_room_for_the_next(traffic):
    answer_after(traffic, 5.0)
    traffic.ask_often(ENOUGH, 503)
    for _ in range(2 * PROBES_MAX):
        traffic.wait_for_probe()
        ask_late(traffic, 0.1, 1)
    assert traffic.wait_for_probe() <= PROBE_MAX_S


def test_models_that_come_and_go_leave_nothing_behind(traffic):
    names = (f"model-{number}" for number in itertools.count())
    for _ in range(2 * MODELS_MAX):
        traffic.ask(500, next(names))
    tracemalloc.start()
    for _ in range(5000):
        traffic.ask(500, next(names))
    grown_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown_bytes < 20_000


class Told:
    """Traffic whose circuits tell of each turn."""

    def __init__(self):
        self.traffic, self.turns = Traffic(), []
        self.traffic.circuits = Circuits(
            lambda: self.traffic.now, lambda: 0.5, self.turns.append
        )


@pytest.mark.parametrize("model", ["", "77"], ids=["endpoint", "model"])
def test_a_circuit_tells_once_that_it_opened_and_once_that_it_closed(model):
    told = Told()
    traffic, turns = told.traffic, told.turns

    traffic.ask_often(ENOUGH - 1, 503, model)
    assert turns == []
    traffic.ask(503, model)
    traffic.wait_for_probe()
    traffic.ask(502, model)
    assert turns == [Turn(LINE, model, "it answered 503", is_open=True)]

    traffic.wait_for_probe()
    traffic.ask(200, model)
    traffic.ask(200, model)
    assert turns[1:] == [Turn(LINE, model, "", is_open=False)]


def test_what_opened_a_circuit_is_said():
    told = Told()
    for number in range(ENOUGH):
        permit = told.traffic.circuits.admit(LINE if number % 2 else OTHER)
        permit.failed()
        permit.close()
    for _ in range(ENOUGH):
        permit = told.traffic.circuits.admit(LINE)
        permit.was_late(LIMIT_S, LIMIT_S)
        permit.close()
        if told.turns:
            break

    assert told.turns == [Turn(LINE, "", "it did not answer in time", is_open=True)]
