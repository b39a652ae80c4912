"""Stop a model that does not come to an end.

A model may loop as often as a number in its input says, so that one request
could keep a processor for ever. Each run has a limit, short in the event loop,
where every other client waits for it. One thread looks at what runs: past its
limit a run is told to end, which ONNX Runtime obeys between two operators; a
worker whose operator goes on for twice the longest limit ends itself, and the
supervisor starts another.

Each thread that runs models has a lane, which it marks before and after a run;
that costs a quarter of a microsecond, and takes no lock. The thread that looks
sleeps while nothing runs, and is woken by the run that finds it so. A process
made by `os.fork` has no such thread: its first run starts one.
"""

import math
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from edge_runtime.log import log

LOOP_RUN_S = 0.25
"""Longest run in the event loop; what takes longer is run again in a thread."""

_TICK_S = 0.05
_QUIET_TICKS = 20
"""Looks without any run, after which the thread that looks sleeps: one second."""


class Stoppable(Protocol):
    """ONNX Runtime's options of one run."""

    terminate: bool


class Lane:
    """Where one thread's runs pass, one after the other.

    A run is known by the instant of its beginning. Everything here is written by
    the lane's own thread, but `stopped_s` and `seen_s`, which the thread that
    looks writes.
    """

    __slots__ = (
        "__weakref__",
        "_make_options",
        "_watch",
        "begun_s",
        "ended_s",
        "limit_s",
        "longest_s",
        "options",
        "seen_s",
        "stopped_s",
    )

    def __init__(
        self, watch: "RunWatch", make_options: Callable[[], Stoppable], longest_s: float
    ) -> None:
        """Let runs of this thread take `longest_s`."""
        self._watch = watch
        self._make_options = make_options
        self.options = make_options()
        self.longest_s = longest_s
        self.limit_s = longest_s
        self.begun_s = self.ended_s = self.seen_s = self.stopped_s = 0.0

    def begin(self, limit_s: float | None = None) -> float:
        """Look after a run until `end`, and return by what it is known."""
        if limit_s is None or limit_s > self.longest_s:
            limit_s = self.longest_s
        # The limit first: who sees the new run must see its own limit.
        self.limit_s = limit_s
        self.begun_s = begun_s = time.monotonic()
        if not self._watch.is_awake:
            self._watch.wake()
        return begun_s

    def end(self, begun_s: float) -> None:
        """Look after it no more."""
        self.ended_s = begun_s
        if self.stopped_s:
            # These options stop every run: the next one needs others.
            self.options = self._make_options()
            self.stopped_s = 0.0

    def is_stopped(self, begun_s: float) -> bool:
        """Say whether that run was told to end; ask before `end`."""
        return self.stopped_s == begun_s

    def stop(self, begun_s: float) -> None:
        """Tell that run to end, and never the one after it."""
        options = self.options
        self.stopped_s = begun_s
        # Seen as running after `stopped_s` was set: its end will change the options.
        if self.begun_s == begun_s != self.ended_s:
            options.terminate = True


class RunWatch:
    """The runs of one process, and the thread that looks at them."""

    def __init__(self, limit_s: float) -> None:
        """Let a run take `limit_s`; the thread starts with the first run."""
        self._limit_s = limit_s
        self._is_started = False
        self.is_awake = False
        self._begin_anew()
        ours = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forked(ours()))

    def lane(self, make_options: Callable[[], Stoppable]) -> Lane:
        """Return the lane of the thread that asks."""
        try:
            lane: Lane = self._here.lane
        except AttributeError:
            lane = self._new_lane(make_options)
        return lane

    def shorten_here(self, limit_s: float = LOOP_RUN_S) -> None:
        """Let runs in this thread take no longer than `limit_s`."""
        self._here.longest_s = min(limit_s, self._limit_s)
        if (lane := getattr(self._here, "lane", None)) is not None:
            lane.longest_s = self._here.longest_s

    def wake(self) -> None:
        """Have the thread look again; start it where there is none."""
        with self._start:
            self.is_awake = True
            self._bell.set()
            if not self._is_started:
                self._is_started = True
                threading.Thread(target=self._look, daemon=True).start()

    def forked(self) -> None:
        """Begin anew in a child process, where only the thread that asks is left."""
        longest_s = getattr(self._here, "longest_s", None)
        self._begin_anew()
        if longest_s is not None:
            self._here.longest_s = longest_s

    def _begin_anew(self) -> None:
        self._here = threading.local()
        self._lanes: list[weakref.ref[Lane]] = []
        self._start = threading.Lock()
        self._bell = threading.Event()
        self._is_started = False
        self.is_awake = self._limit_s == math.inf  # nothing to look after

    def _new_lane(self, make_options: Callable[[], Stoppable]) -> Lane:
        longest_s = getattr(self._here, "longest_s", self._limit_s)
        lane = Lane(self, make_options, longest_s)
        with self._start:
            self._lanes = [ref for ref in self._lanes if ref() is not None]
            self._lanes.append(weakref.ref(lane))
        self._here.lane = lane
        return lane

    def _look(self) -> None:
        """Look at every lane, again and again; sleep when all is quiet."""
        quiet_ticks = 0
        while True:
            time.sleep(_TICK_S)
            is_quiet = not self._look_once()
            quiet_ticks = quiet_ticks + 1 if is_quiet else 0
            if quiet_ticks >= _QUIET_TICKS:
                self._sleep()
                quiet_ticks = 0

    def _look_once(self) -> bool:
        """Judge what runs; return whether anything ran since the last look."""
        now_s = time.monotonic()
        has_run = False
        for ref in self._lanes:
            lane = ref()
            if lane is None:
                continue
            begun_s = lane.begun_s
            has_run = has_run or begun_s != lane.seen_s
            lane.seen_s = begun_s
            if begun_s != lane.ended_s:
                has_run = True
                self._judge(lane, begun_s, now_s - begun_s)
        return has_run

    def _sleep(self) -> None:
        """Wait for the next run to begin."""
        self._bell.clear()
        self.is_awake = False
        # From here on a run that begins rings; one that began before is seen here.
        if self._look_once():
            self.is_awake = True
        else:
            self._bell.wait()

    def _judge(self, lane: Lane, begun_s: float, took_s: float) -> None:
        if took_s > lane.limit_s and lane.stopped_s != begun_s:
            lane.stop(begun_s)
        if took_s > 2 * self._limit_s and lane.begun_s == begun_s != lane.ended_s:
            log("worker_stuck", took_s=round(took_s, 1))
            os.kill(os.getpid(), signal.SIGKILL)


def _forked(watch: RunWatch | None) -> None:
    """Tell a watch that this is a child process now."""
    if watch is not None:
        watch.forked()
