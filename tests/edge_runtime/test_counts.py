"""Answers by route and status, of one process and of several."""

import json
import sys
import threading

from edge_runtime.counts import ERRORS_KEPT, Counts


def test_answers_are_counted_by_route_and_status():
    counts = Counts()
    counts.add("infer", 200, 0.002)
    counts.add("infer", 200, 0.004)
    counts.add("infer", 400, 0.0)
    assert counts.describe() == {"infer": {"200": 2, "400": 1}}
    assert counts.mean_ms("infer") == 2.0
    assert counts.mean_ms("never") == 0.0
    assert counts.total == 3


def test_the_last_errors_are_kept_but_not_who_knocks_at_no_door():
    counts = Counts(clock=iter(range(100)).__next__)
    for _ in range(ERRORS_KEPT + 5):
        counts.add("infer", 400, 0.0)
    counts.add("other", 404, 0.0)
    assert len(counts.errors) == ERRORS_KEPT
    assert counts.last_error.describe() == {
        "at": "1970-01-01T00:00:14+00:00",
        "route": "infer",
        "status": 400,
    }


def test_counts_that_went_through_json_are_summed():
    ours = Counts(clock=lambda: 2.0, started_s=50.0)
    theirs = Counts(clock=lambda: 1.0, started_s=40.0)
    ours.add("infer", 200, 0.5)
    ours.add("infer", 500, 0.5)
    theirs.add("infer", 200, 0.25)
    theirs.add("predict", 400, 0.25)

    ours.merge(json.loads(json.dumps(theirs.to_plain())))

    assert ours.describe() == {"infer": {"200": 2, "500": 1}, "predict": {"400": 1}}
    assert ours.busy_s == {"infer": 1.25, "predict": 0.25}
    assert [error.status for error in ours.errors] == [400, 500]
    assert ours.started_s == 40.0


def test_counts_may_be_read_in_a_thread_while_the_loop_counts():
    counts = Counts()
    is_over = threading.Event()
    problems = []

    def read():
        while not is_over.is_set():
            try:
                counts.mean_ms("infer")
            except RuntimeError as error:
                problems.append(error)
                return

    reader = threading.Thread(target=read)
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        reader.start()
        for number in range(20_000):
            counts.add(f"route {number}", 400, 0.1)
    finally:
        is_over.set()
        reader.join()
        sys.setswitchinterval(before_s)
    assert problems == []
