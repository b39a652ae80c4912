"""The log as the server uses it."""

import fcntl
import gc
import threading
import time
import weakref
from contextlib import suppress

import numpy as np
import pytest

from edge_runtime.prediction_log.backlog import ENTRIES_MAX, HELD_MAX_BYTES, Backlog
from edge_runtime.prediction_log.log import PredictionLog
from edge_runtime.settings.serve_settings import LogSettings
from tests.edge_runtime.full_disk import files_end_at
from tests.edge_runtime.gateways import wait_for
from tests.edge_runtime.prediction_log.entries import (
    ALL,
    QUICK,
    entry,
    read,
    request_ids,
    write,
)


@pytest.fixture
def open_log(directory):
    opened = []

    def start(settings=ALL, **options):
        log = PredictionLog(
            directory, settings, **{"free_min_bytes": 0, "pace": QUICK, **options}
        )
        opened.append(log)
        return log

    yield start
    for log in opened:
        log.close()


def dropped_in(directory):
    return [r.document["dropped"] for r in read(directory) if not r.is_prediction]


def test_what_was_offered_is_there_in_order(directory):
    counts = write(directory, *map(entry, range(100)))
    assert counts.written == 100
    assert counts.dropped_total == 0
    assert request_ids(directory) == [str(i) for i in range(100)]


def test_it_is_there_soon_without_anybody_closing_the_log(open_log, directory):
    open_log().offer(entry("soon"))
    wait_for(lambda: request_ids(directory) == ["soon"])


@pytest.mark.parametrize(
    "settings",
    [LogSettings(1.0, "off", 2**20), LogSettings(0.0, "full", 2**20)],
    ids=["policy", "ratio"],
)
def test_a_log_that_is_off_wants_nothing_and_touches_no_disk(
    open_log, directory, settings
):
    before = threading.active_count()
    log = open_log(settings)
    assert not any(log.wants() for _ in range(1000))
    assert threading.active_count() == before
    assert not directory.exists()


def test_what_does_not_fit_the_queue_is_dropped_and_the_log_says_so(
    open_log, directory
):
    log = open_log(pace=QUICK)
    many = entry()
    began_s = time.monotonic()
    for _ in range(20 * ENTRIES_MAX):
        log.offer(many)
    assert time.monotonic() - began_s < 5.0
    log.close(limit_s=30.0)
    counts = log.counts()
    assert counts.dropped["queue"] > 0
    assert counts.written + counts.dropped["queue"] == 20 * ENTRIES_MAX
    assert (
        sum(d.get("queue", 0) for d in dropped_in(directory)) == counts.dropped["queue"]
    )


def test_memory_kept_alive_counts_and_not_only_what_is_looked_at():
    backlog = Backlog()
    batch = np.zeros(HELD_MAX_BYTES // 8 // 2)
    one = entry(inputs={"x": batch[:1]}, outputs={})
    assert [backlog.put(one) for _ in range(3)] == [True, True, False]
    assert backlog.dropped == 1


def test_long_texts_count_as_memory_too():
    backlog = Backlog(held_max_bytes=1_000_000)
    text = np.array(["x" * 300_000], dtype=object)
    one = entry(inputs={"t": text}, outputs={})
    assert [backlog.put(one) for _ in range(4)] == [True, True, True, False]


def test_memory_is_let_go_once_a_record_is_written(open_log):
    log = open_log()
    array = np.zeros(1000)
    gone = weakref.ref(array)
    log.offer(entry(inputs={"x": array}))
    del array
    wait_for(lambda: log.counts().written == 1)
    gc.collect()
    assert wait_for(lambda: gone() is None)


def test_views_on_a_request_s_bytes_are_read_and_never_written(directory):
    body = np.arange(8, dtype="<f4").tobytes()
    view = np.frombuffer(body, "<f4").reshape(2, 4)
    write(directory, entry(inputs={"x": view}), settings=LogSettings(1.0, "full"))
    assert read(directory)[0].data[: len(body)] == body


@pytest.mark.parametrize(
    "array",
    [np.array([1 + 2j]), np.array(["\ud800"], dtype=object)],
    ids=["complex", "half a character"],
)
def test_an_entry_that_cannot_be_written_takes_no_other_with_it(directory, array):
    odd = entry("odd", inputs={"x": array})
    counts = write(
        directory, odd, entry("fine"), settings=LogSettings(1.0, "full", 2**20)
    )
    assert counts.dropped["unencodable"] == 1
    assert request_ids(directory) == ["fine"]


def test_an_entry_too_long_for_any_segment_is_dropped(directory):
    names = {f"{i:0300}": np.zeros(1) for i in range(300)}
    counts = write(
        directory, entry(inputs=names), settings=LogSettings(1.0, "summary", 2**20)
    )
    assert counts.dropped["too_large"] == 1
    assert dropped_in(directory) == [{"too_large": 1}]


def test_a_disk_that_is_full_is_tried_again_and_the_log_says_what_is_missing(
    open_log, directory, capfd
):
    log = open_log()
    log.offer(entry("before"))
    wait_for(lambda: log.counts().written == 1)
    with files_end_at(1500):
        for _ in range(10):
            log.offer(entry("lost", model="m" * 300))
        wait_for(lambda: log.counts().dropped["disk"])

    def is_back():
        log.offer(entry("after"))
        return "after" in request_ids(directory)

    wait_for(is_back)
    log.close()
    missing = log.counts().dropped["disk"]
    assert request_ids(directory)[0] == "before"
    assert sum(d.get("disk", 0) for d in dropped_in(directory)) == missing
    events = capfd.readouterr().out
    assert '"event":"prediction_log_failed","reason":"File too large"' in events
    assert '"event":"prediction_log_resumed"' in events


def test_a_folder_that_cannot_be_made_disturbs_nobody(open_log, directory):
    directory.touch()
    log = open_log()
    log.offer(entry())
    wait_for(lambda: log.counts().dropped["disk"])
    directory.unlink()

    def is_back():
        log.offer(entry())
        return log.counts().written

    wait_for(is_back)


def test_a_folder_that_is_removed_is_made_again(open_log, directory):
    log = open_log()
    log.offer(entry("first"))
    (path,) = wait_for(lambda: list(directory.glob("*.plog")))
    wait_for(lambda: log.counts().written)
    path.unlink()
    (directory / "lock").unlink()
    directory.rmdir()

    def is_back():
        log.offer(entry("second"))
        return request_ids(directory)

    wait_for(is_back)


def test_a_worker_at_rest_leaves_its_segment_to_others(open_log, directory):
    resting = open_log()
    resting.offer(entry("one"))
    wait_for(lambda: resting.counts().written)

    (path,) = directory.glob("*.plog")

    def is_left():
        with path.open("rb") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True

    wait_for(is_left)
    write(directory, entry("two"))
    assert len(list(directory.glob("*.plog"))) == 1
