"""Stop a model that does not come to an end.

A model may loop as often as a number in its input says, so that one request
could keep a processor for ever. Each run has a limit, short in the event loop,
where every other client waits for it. One thread looks at what runs: past its
limit a run is told to end, which ONNX Runtime obeys between two operators; a
worker whose operator goes on for twice the longest limit ends itself, and the
supervisor starts another.
"""

import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from edge_runtime.log import log

LOOP_RUN_S = 0.25
"""Longest run in the event loop; what takes longer is run again in a thread."""

_TICK_S = 0.05


class Stoppable(Protocol):
    """ONNX Runtime's options of one run."""

    terminate: bool


@dataclass(slots=True, eq=False)
class Run:
    """One run that is under way."""

    options: Stoppable
    begun_s: float
    limit_s: float
    is_stopped: bool = False


class RunWatch:
    """The runs of one worker, and the thread that looks at them."""

    def __init__(self, limit_s: float) -> None:
        """Let a run take `limit_s`; the thread starts with the first run."""
        self._limit_s = limit_s
        self._runs: set[Run] = set()
        self._here = threading.local()
        self._start = threading.Lock()
        self._is_started = False

    def shorten_here(self, limit_s: float = LOOP_RUN_S) -> None:
        """Let runs in this thread take no longer than `limit_s`."""
        self._here.limit_s = limit_s

    def begin(self, options: Stoppable) -> Run:
        """Look after a run until `end` is called."""
        if not self._is_started:
            self._start_thread()
        limit_s = getattr(self._here, "limit_s", self._limit_s)
        run = Run(options, time.monotonic(), limit_s)
        self._runs.add(run)
        return run

    def end(self, run: Run) -> None:
        """Look after it no more."""
        self._runs.discard(run)

    def _start_thread(self) -> None:
        with self._start:
            if not self._is_started:
                self._is_started = True
                threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            now_s = time.monotonic()
            # A copy made in one step: other threads add and discard meanwhile.
            for run in self._runs.copy():
                self._judge(run, now_s - run.begun_s)
            time.sleep(_TICK_S)

    def _judge(self, run: Run, took_s: float) -> None:
        if took_s > run.limit_s and not run.is_stopped:
            run.is_stopped = run.options.terminate = True
        if took_s > 2 * self._limit_s:
            log("worker_stuck", took_s=round(took_s, 1))
            os.kill(os.getpid(), signal.SIGKILL)
