"""Processes see how many connections each of them has."""

import os

from edge_runtime.load import Load, shared_numbers


def test_who_has_more_than_another_has_most():
    numbers = shared_numbers(3)
    loads = [Load(numbers, place) for place in range(3)]
    assert not any(load.is_most() for load in loads)
    loads[1].tell(2)
    loads[2].tell(1)
    assert [load.is_most() for load in loads] == [False, True, True]


def test_another_process_sees_it():
    numbers = shared_numbers(2)
    child = os.fork()
    if not child:
        Load(numbers, 1).tell(7)
        os._exit(0)
    os.waitpid(child, 0)
    ours = Load(numbers, 0)
    ours.tell(7)
    assert not ours.is_most()
    ours.tell(8)
    assert ours.is_most()


def test_one_process_alone_shares_with_nobody():
    load = Load(shared_numbers(1), 0)
    load.tell(5)
    assert not load.is_shared
    assert not load.is_most()
