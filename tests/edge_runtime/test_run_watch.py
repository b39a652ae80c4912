"""Runs are stopped at their limits, theirs alone, in every thread and process.

A run that goes on for twice its watch's limit ends the process, here pytest's own:
so the watches have long limits, and the runs short ones.
"""

import gc
import math
import os
import threading
import time

import pytest

from edge_runtime.run_watch import Lane, RunWatch


class Options:
    """Stands in for ONNX Runtime's options of a run."""

    def __init__(self):
        self.terminate = False


def wait_until(condition, timeout_s=5.0):
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.005)


def test_a_run_past_its_limit_is_told_to_end_and_known_by_it():
    lane = RunWatch(30.0).lane(Options)
    begun_s = lane.begin(0.1)
    wait_until(lambda: lane.options.terminate)
    assert lane.is_stopped(begun_s)
    lane.end(begun_s)


def test_the_run_after_a_stopped_one_has_options_of_its_own():
    lane = RunWatch(30.0).lane(Options)
    first = lane.begin(0.1)
    wait_until(lambda: lane.options.terminate)
    lane.end(first)

    second = lane.begin()

    assert not lane.options.terminate
    assert not lane.is_stopped(second)
    lane.end(second)


def test_a_run_that_ended_before_it_was_told_to_costs_the_next_one_nothing():
    lane = RunWatch(math.inf).lane(Options)
    first = lane.begin()
    lane.end(first)
    second = lane.begin()

    lane.stop(first)  # the thread that looks was late

    assert not lane.options.terminate
    assert not lane.is_stopped(second)


def test_a_run_may_have_less_time_than_others_but_never_more():
    lane = RunWatch(60.0).lane(Options)
    begun_s = lane.begin(0.05)
    wait_until(lambda: lane.is_stopped(begun_s))
    lane.end(begun_s)
    lane.end(lane.begin(1000.0))
    assert lane.limit_s == 60.0


def test_each_thread_has_a_lane_and_a_shorter_limit_holds_in_one_alone():
    watch = RunWatch(60.0)
    watch.shorten_here(0.1)
    lanes = []
    thread = threading.Thread(target=lambda: lanes.append(watch.lane(Options)))
    thread.start()
    thread.join()

    here = watch.lane(Options)

    assert here is watch.lane(Options)
    assert (here.longest_s, lanes[0].longest_s) == (0.1, 60.0)


def test_a_limit_may_be_shortened_after_the_first_run():
    watch = RunWatch(60.0)
    lane = watch.lane(Options)
    lane.end(lane.begin())
    watch.shorten_here(0.1)
    assert lane.longest_s == 0.1


def test_a_thread_that_is_gone_leaves_no_lane():
    watch = RunWatch(61.5)
    for _ in range(10):
        thread = threading.Thread(target=lambda: watch.lane(Options))
        thread.start()
        thread.join()
    gc.collect()
    watch.lane(Options)
    assert (
        sum(isinstance(o, Lane) and o.longest_s == 61.5 for o in gc.get_objects()) == 1
    )


def test_what_looks_sleeps_while_nothing_runs_and_is_woken_by_a_run():
    watch = RunWatch(30.0)
    lane = watch.lane(Options)
    lane.end(lane.begin())
    assert watch.is_awake
    wait_until(lambda: not watch.is_awake)

    begun_s = lane.begin(0.1)

    assert watch.is_awake
    wait_until(lambda: lane.is_stopped(begun_s))
    lane.end(begun_s)


def test_a_watch_without_a_limit_has_no_thread():
    before = threading.active_count()
    lane = RunWatch(math.inf).lane(Options)
    lane.end(lane.begin())
    assert threading.active_count() == before


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_runs_are_stopped_in_a_forked_process_too_though_its_thread_is_gone():
    watch = RunWatch(60.0)
    watch.shorten_here(0.1)
    lane = watch.lane(Options)
    lane.end(lane.begin())
    other = threading.Event()

    def run():
        lane = watch.lane(Options)
        begun_s = lane.begin()
        other.wait()
        lane.end(begun_s)

    thread = threading.Thread(target=run)
    thread.start()

    pid = os.fork()
    if pid == 0:
        lane = watch.lane(Options)
        begun_s = lane.begin()
        until_s = time.monotonic() + 5
        while not lane.is_stopped(begun_s) and time.monotonic() < until_s:
            time.sleep(0.01)
        os._exit(0 if lane.is_stopped(begun_s) else 1)

    _, status = os.waitpid(pid, 0)
    other.set()
    thread.join()
    assert status == 0


def test_no_run_is_stopped_for_another_however_the_threads_meet():
    lane = RunWatch(60.0).lane(Options)
    stopped = 0
    until_s = time.monotonic() + 0.5
    while time.monotonic() < until_s:
        begun_s = lane.begin(0.0)  # over its limit whenever the thread looks
        is_told = lane.options.terminate
        assert lane.is_stopped(begun_s) or not is_told
        stopped += lane.is_stopped(begun_s)
        lane.end(begun_s)
    assert stopped < 12
