"""The prediction log as the server sees it: two calls that never wait.

Made once in each process that answers, after the last fork: it has a thread.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.prediction_log.backlog import Backlog
from edge_runtime.prediction_log.segment import FREE_MIN_BYTES
from edge_runtime.prediction_log.writer import Pace, Writer
from edge_runtime.settings.serve_settings import LogSettings
from packhorse.inference.prediction import Entry
from packhorse.sampler import Sampler

_KERNEL = random.SystemRandom()
"""Processes that forked from one another draw apart from it."""

CLOSE_S = 2.0
"""How long the end of a process waits for a disk that may be slow."""


@dataclass(frozen=True, slots=True)
class LogCounts:
    """What became of the predictions that were sampled, since this process started.

    Attributes:
        dropped: By reason: `queue`, `disk`, `too_large`, `unencodable`.
    """

    written: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def dropped_total(self) -> int:
        """Return how many are missing, for whatever reason."""
        return sum(self.dropped.values())


class PredictionLog:
    """A sample of predictions on its way to the disk.

    Attributes:
        wants: Says whether the request that has just come is to be offered; on the
            event loop's thread only. Costs a tenth of a microsecond.
    """

    wants: Callable[[], bool]

    def __init__(
        self,
        directory: Path,
        settings: LogSettings,
        *,
        free_min_bytes: int = FREE_MIN_BYTES,
        pace: Pace | None = None,
    ) -> None:
        """Write to segments in `directory`, which is made when it is needed."""
        is_on = settings.policy != "off" and settings.ratio > 0.0
        self._sampler = Sampler(
            settings.ratio if is_on else 0.0, _KERNEL.random, time.monotonic
        )
        self.wants = self._sampler.wants
        self._backlog = Backlog()
        self._writer = Writer(
            directory,
            settings,
            self._backlog,
            free_min_bytes=free_min_bytes,
            pace=pace,
        )
        self._thread = threading.Thread(
            target=self._writer.run, name="prediction-log", daemon=True
        )
        if is_on:
            self._thread.start()

    @property
    def ratio(self) -> float:
        """Return of which share of the requests the one is that it wanted last."""
        return self._sampler.ratio

    def offer(self, entry: Entry) -> None:
        """Hand over one prediction, or drop and count it; its arrays never change."""
        self._backlog.put(entry)

    def counts(self) -> LogCounts:
        """Return what became of them so far; on any thread."""
        return LogCounts(self._writer.written, self._writer.dropped())

    def close(self, limit_s: float = CLOSE_S) -> None:
        """Write and flush what waits, within `limit_s`; nothing is offered after."""
        if self._thread.is_alive():
            self._backlog.close()
            self._thread.join(limit_s)
