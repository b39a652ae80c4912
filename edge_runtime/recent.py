"""The last live requests with their answers, kept for a candidate's shadow run.

They stay in memory; the supervisor's `recent` order writes to a file that the
agent names those that it has not had yet.
"""

import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.held_bytes import held_bytes
from edge_runtime.live_requests import Frame, encode_request, take_frames, write_frames
from packhorse.inference.signature import Arrays

KEPT = 32
BURST_S = 1.0
"""Keeping all of thousands a second would cost each, and show the same."""

KEPT_MAX_BYTES = 16 * 1024**2
"""Memory that the kept arrays may keep alive; the oldest go first."""

SAVED_MAX_BYTES = 4 * 1024**2
"""Where more has come, only so much is written at once: the newest, one at least."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its answer.

    Attributes:
        took_s: Time from its arrival to its answer; 0 where nobody measured it.
        noted_us: By the machine's own clock, which never goes back while it runs
            and is the same in every process.
    """

    at_s: float
    inputs: Arrays
    outputs: Arrays
    size_bytes: int
    took_s: float = 0.0
    noted_us: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """What was written.

    Attributes:
        last_us: When the newest of them was noted; ask next for what came after.
    """

    count: int
    last_us: int


class RecentExchanges:
    """A bounded memory; safe to use from several threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: deque[Exchange] = deque()
        self._size_bytes = 0
        self._is_full = False
        self._lock = threading.Lock()

    def add(
        self, inputs: Arrays, outputs: Arrays, *, at_s: float, took_s: float = 0.0
    ) -> None:
        """Keep one exchange, and let the oldest go where there are too many.

        Of a burst the first are kept, as many as there is room for in `BURST_S`: to
        keep every large body would have each new one received into cold memory.
        """
        if self._is_full and 0.0 <= at_s - self._kept[0].at_s < BURST_S:
            return
        size_bytes = 0
        for array in inputs.values():
            size_bytes += held_bytes(array)
        for array in outputs.values():
            size_bytes += held_bytes(array)
        if size_bytes > KEPT_MAX_BYTES:
            return
        noted_us = time.monotonic_ns() // 1000
        with self._lock:
            self._kept.append(
                Exchange(at_s, inputs, outputs, size_bytes, took_s, noted_us)
            )
            self._size_bytes += size_bytes
            self._is_full = len(self._kept) >= KEPT
            while len(self._kept) > KEPT or self._size_bytes > KEPT_MAX_BYTES:
                self._size_bytes -= self._kept.popleft().size_bytes
                self._is_full = True

    def all(self) -> list[Exchange]:
        """Return what is kept, the oldest first."""
        with self._lock:
            return list(self._kept)

    def save(self, path: Path, *, after_us: int = 0) -> Saved:
        """Write what came after `after_us`, if anything did, to a file at `path`.

        Of much the newest is written, and the rest passed over: this process has
        requests to answer.
        """
        found: deque[Frame] = deque()
        left_bytes = SAVED_MAX_BYTES
        for exchange in reversed(self.all()):
            if exchange.noted_us <= after_us or (found and left_bytes <= 0):
                break
            left_bytes -= exchange.size_bytes
            frame = encode_request(exchange.noted_us, exchange.inputs, exchange.outputs)
            if frame is not None:
                found.appendleft(frame)
        return _write(path, found, after_us)


def join_saved(path: Path, parts: Sequence[Path], *, after_us: int) -> Saved:
    """Add to the file at `path` what others saved, and remove theirs.

    The newest of all are kept, as many as one process keeps.
    """
    frames = [frame for part in (path, *parts) for frame in take_frames(part)]
    frames.sort(key=lambda frame: frame.noted_us)
    return _write(path, frames[-KEPT:], after_us)


def _write(path: Path, frames: Collection[Frame], after_us: int) -> Saved:
    if frames:
        write_frames(path, frames)
    last_us = max((frame.noted_us for frame in frames), default=after_us)
    return Saved(len(frames), last_us)
