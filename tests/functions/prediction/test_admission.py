"""What this process cannot hold is refused at once, and nothing is held too long."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.errors import OverloadedError
from functions.prediction.admission import ANSWER_LEAST_BYTES, Admission

MIB = 1024**2


def fill(admission, stack, length=0):
    """Admit what is admitted, and count it."""
    admitted = 0
    while admitted < 10_000:
        try:
            stack.enter_context(admission.admitted(length))
        except OverloadedError:
            break
        admitted += 1
    return admitted


def test_no_more_requests_are_under_way_than_may_be():
    admission = Admission(requests_max=7, bytes_max=1024 * MIB)
    with ExitStack() as stack:
        assert fill(admission, stack) == 7
        with pytest.raises(OverloadedError) as raised, admission.admitted(0):
            pass
        assert raised.value.retry_after_s > 0


def test_bodies_and_the_answers_that_they_will_bring_are_counted():
    admission = Admission(requests_max=10_000, bytes_max=10 * MIB)
    with ExitStack() as stack:
        assert fill(admission, stack, MIB - ANSWER_LEAST_BYTES) == 10
    with ExitStack() as stack:
        assert fill(admission, stack) == 10 * MIB // ANSWER_LEAST_BYTES


def test_what_ended_makes_room_however_it_ended():
    admission = Admission(requests_max=1, bytes_max=MIB)
    with pytest.raises(ZeroDivisionError), admission.admitted(100):
        raise ZeroDivisionError
    with admission.admitted(100) as held:
        held.answered(2 * MIB)
    assert (admission.requests, admission.held_bytes) == (0, 0)


def test_what_is_refused_takes_no_room():
    admission = Admission(requests_max=2, bytes_max=MIB)
    with admission.admitted(0):
        with pytest.raises(OverloadedError), admission.admitted(MIB):
            pass
        with admission.admitted(0):
            pass
    assert (admission.requests, admission.held_bytes) == (0, 0)


def test_alone_even_the_longest_request_is_taken():
    admission = Admission(requests_max=1, bytes_max=MIB)
    with admission.admitted(50 * MIB):
        assert admission.requests == 1


def test_long_answers_leave_room_for_fewer():
    admission = Admission(requests_max=10_000, bytes_max=64 * MIB)
    with admission.admitted(0) as held:
        held.answered(4 * MIB)
    with ExitStack() as stack:
        assert fill(admission, stack) == 16


def test_an_answer_counts_with_its_true_length_once_it_is_there():
    admission = Admission(requests_max=10, bytes_max=4 * MIB)
    with admission.admitted(0) as held:
        held.answered(4 * MIB - 10)
        with pytest.raises(OverloadedError), admission.admitted(0):
            pass


def test_one_long_answer_is_forgotten_after_some_hundred_short_ones():
    admission = Admission(requests_max=10_000, bytes_max=64 * MIB)
    for length in (16 * MIB, *[100] * 200):
        with admission.admitted(0) as held:
            held.answered(length)
    assert 6 * MIB < admission.answer_bytes < 10 * MIB
    for _ in range(5_000):
        with admission.admitted(0) as held:
            held.answered(100)
    assert admission.answer_bytes == ANSWER_LEAST_BYTES


@given(st.lists(st.tuples(st.integers(0, MIB), st.integers(0, MIB)), max_size=50))
def test_the_count_is_always_that_of_what_is_under_way(requests):
    admission = Admission(requests_max=20, bytes_max=8 * MIB)
    with ExitStack() as stack:
        holds = []
        for length, answer in requests:
            try:
                holds.append(stack.enter_context(admission.admitted(length)))
            except OverloadedError:
                continue
            holds[len(holds) // 2].answered(answer)
        assert admission.requests == len(holds) <= 20
        assert admission.held_bytes == sum(held.bytes for held in holds)
    assert (admission.requests, admission.held_bytes) == (0, 0)
