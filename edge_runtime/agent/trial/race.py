"""Time a candidate and the active release on the same inputs, turn by turn.

Both run in the process that tries the candidate, at its low priority: what counts
is the processor time of one thread, which does not grow when the machine is busy.
"""

import statistics
import time
from collections.abc import Callable

from edge_runtime.errors import ModelError
from packhorse.inference.signature import Arrays

ENTERED_MAX = 32
"""Inputs run on both models; more says little that is new and costs processor."""

Run = Callable[[Arrays, list[str]], Arrays]
"""Runs a model: inputs, names of the outputs to compute."""


class Race:
    """The candidate against the active release."""

    def __init__(self, candidate: Run, active: Run) -> None:
        """Run each on its own for as long as the active one can."""
        self._candidate = candidate
        self._active = active
        self._is_open = True
        self._walls_s: list[float] = []
        self._candidate_s: list[float] = []
        self._active_s: list[float] = []

    def enter(self, inputs: Arrays, outputs: list[str]) -> None:
        """Run both on `inputs`; each in turn is the first.

        A model of another signature cannot run them: then no ratio can be told.
        """
        if not self._is_open:
            return
        try:
            if not self._walls_s:
                self._active(inputs, outputs)  # it was never run before
            self._time(inputs, outputs)
        except ModelError:
            self._is_open = False
            self._walls_s.clear()
        else:
            self._is_open = len(self._walls_s) < ENTERED_MAX

    def measures(self) -> dict[str, float]:
        """Return how long the candidate takes, and against the active release."""
        if not self._walls_s:
            return {}
        took_s = statistics.median(self._candidate_s)
        former_s = statistics.median(self._active_s)
        return {
            "latency_s": statistics.median(self._walls_s),
            "latency_ratio": took_s / max(former_s, 1e-9),
        }

    def _time(self, inputs: Arrays, outputs: list[str]) -> None:
        is_first = len(self._walls_s) % 2 == 0
        if not is_first:
            former_s = _thread_time(self._active, inputs, outputs)
        begun_s = time.perf_counter()
        took_s = _thread_time(self._candidate, inputs, outputs)
        wall_s = time.perf_counter() - begun_s
        if is_first:
            former_s = _thread_time(self._active, inputs, outputs)
        self._walls_s.append(wall_s)
        self._candidate_s.append(took_s)
        self._active_s.append(former_s)


def _thread_time(run: Run, inputs: Arrays, outputs: list[str]) -> float:
    """Return how long one run keeps this thread's processor, in seconds."""
    begun_s = time.thread_time()
    run(inputs, outputs)
    return time.thread_time() - begun_s
