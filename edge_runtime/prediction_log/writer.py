"""The one thread that turns entries into records on disk.

Whatever the disk does, the server never hears of it: what cannot be written is
counted, and tried again a little later with what comes then.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.log import log
from edge_runtime.prediction_log.backlog import Backlog
from edge_runtime.prediction_log.payload import Parts, length_of
from edge_runtime.prediction_log.records import encode_dropped, encode_prediction
from edge_runtime.prediction_log.segment import FREE_MIN_BYTES, Segment
from edge_runtime.prediction_log.segments import Segments
from edge_runtime.settings.serve_settings import LogSettings
from packhorse.inference.prediction import Entry

_REASONS = ("disk", "too_large", "unencodable")


@dataclass(frozen=True, slots=True)
class Pace:
    """When the thread does what it does not do for each record.

    Attributes:
        flush_s: What a power cut may take; each flush costs a flash disk some of
            its life.
        retry_s: How long a disk that failed is left alone.
        idle_s: After this without entries the segment is left to other processes:
            a worker that stays warm for a way back must not keep its share of the
            disk reserved.
    """

    flush_s: float = 5.0
    retry_s: float = 5.0
    idle_s: float = 10.0


class Writer:
    """What the thread does; every method but `counts` is the thread's own."""

    def __init__(
        self,
        directory: Path,
        settings: LogSettings,
        backlog: Backlog,
        *,
        free_min_bytes: int = FREE_MIN_BYTES,
        pace: Pace | None = None,
    ) -> None:
        """Write what comes through `backlog` into segments in `directory`."""
        self._pace = pace or Pace()
        self._settings = settings
        self._backlog = backlog
        self._segments = Segments(
            directory, settings.max_bytes, free_min_bytes=free_min_bytes
        )
        self._segment: Segment | None = None
        self._written = 0
        self._dropped = dict.fromkeys(_REASONS, 0)
        self._reported: Mapping[str, int] = self.dropped()
        self._is_dirty = False
        self._is_failing = False
        self._flush_at_s = 0.0
        self._retry_at_s = 0.0

    @property
    def written(self) -> int:
        """Return how many predictions are on disk since the process started."""
        return self._written

    def dropped(self) -> dict[str, int]:
        """Return how many are not, by reason."""
        return {"queue": self._backlog.dropped, **self._dropped}

    def run(self) -> None:
        """Write until the backlog is closed and empty."""
        is_last = False
        while not is_last:
            was_dirty = self._is_dirty
            taken, is_last = self._backlog.take(self._wait_s())
            is_idle = not (taken or was_dirty)
            self._write_all(taken)
            if is_last or time.monotonic() >= self._flush_at_s:
                self._flush()
            if is_last or is_idle:
                self._leave()

    def _wait_s(self) -> float | None:
        """Return how long the thread may sleep when nothing comes."""
        if self._is_dirty or self._has_news():
            return max(0.0, self._flush_at_s - time.monotonic())
        return self._pace.idle_s if self._segment else None

    def _write_all(self, taken: list[tuple[Entry, int]]) -> None:
        """Write entries, and let go of each."""
        if not self._is_dirty and taken:
            self._flush_at_s = time.monotonic() + self._pace.flush_s
        taken.reverse()
        while taken:
            entry, held_bytes = taken.pop()
            self._write(entry)
            del entry
            self._backlog.forget(held_bytes)

    def _write(self, entry: Entry) -> None:
        if time.monotonic() < self._retry_at_s:
            self._dropped["disk"] += 1
            return
        try:
            payload = encode_prediction(
                entry, self._settings, self._segments.payload_max_bytes
            )
        except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError):
            self._dropped["unencodable"] += 1  # no entry may end this thread
            return
        if payload is None:
            self._dropped["too_large"] += 1
        elif self._append(payload):
            self._written += 1
        else:
            self._dropped["disk"] += 1

    def _append(self, payload: Parts) -> bool:
        """Write one record, and say whether it is on disk."""
        try:
            segment = self._segment_for(payload)
            segment.append(payload)
        except OSError as error:
            self._fail(error)
            return False
        self._is_dirty = True
        if self._is_failing:
            self._is_failing = False
            log("prediction_log_resumed", dropped=self.dropped())
        return True

    def _segment_for(self, payload: Parts) -> Segment:
        """Return a segment that has room for the record."""
        segment = self._segment
        if segment and (segment.is_gone or not segment.has_room(payload)):
            segment.flush()
            self._leave()
        if self._segment is None:
            self._segment = self._segments.open(length_of(payload))
        self._segment.check_free()
        return self._segment

    def _flush(self) -> None:
        """Bring to the disk what was written; first say what was not."""
        dropped = self.dropped()
        if self._has_news() and time.monotonic() >= self._retry_at_s:
            news = {k: n - self._reported[k] for k, n in dropped.items()}
            if self._append(encode_dropped(time.time(), news)):
                self._reported = dropped
        self._flush_at_s = time.monotonic() + self._pace.flush_s
        if self._segment and self._is_dirty:
            try:
                self._segment.flush()
            except OSError as error:
                self._fail(error)
        self._is_dirty = False

    def _has_news(self) -> bool:
        return self.dropped() != self._reported

    def _leave(self) -> None:
        if self._segment:
            self._segments.leave(self._segment)
            self._segment = None

    def _fail(self, error: OSError) -> None:
        """Leave the disk alone for a while, and say why once."""
        self._retry_at_s = time.monotonic() + self._pace.retry_s
        if not self._is_failing:
            self._is_failing = True
            log("prediction_log_failed", reason=error.strerror or str(error))
        if self._segment:
            self._segment.close()
            self._segment = None
        self._is_dirty = False
