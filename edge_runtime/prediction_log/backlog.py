"""What waits for the writer's thread: bounded, and never waited for by the server."""

import threading
import time
from queue import Empty, SimpleQueue

from edge_runtime.held_bytes import held_bytes
from packhorse.inference.prediction import Entry

ENTRIES_MAX = 1024
"""A second's worth where a thousand requests a second are kept."""

HELD_MAX_BYTES = 32 * 1024**2
"""Memory that waiting entries may keep alive, of a worker of about 60 MiB."""

ROUND_MAX = 256
"""Entries that are taken at once, so that flushes and drops get their turn."""

GATHER_S = 0.02
"""How long others are waited for after the first: one wake-up serves them all."""


class Backlog:
    """A queue from the server to the writer's thread."""

    def __init__(
        self, *, entries_max: int = ENTRIES_MAX, held_max_bytes: int = HELD_MAX_BYTES
    ) -> None:
        """Take so many entries, and so much memory kept alive by them."""
        self._entries_max = entries_max
        self._held_max_bytes = held_max_bytes
        self._queue: SimpleQueue[tuple[Entry, int] | None] = SimpleQueue()
        # Each of the two sums is only ever changed on one side.
        self._put_bytes = 0
        self._taken_bytes = 0
        self._offering = threading.Lock()
        self.dropped = 0

    def put(self, entry: Entry) -> bool:
        """Add `entry`, or drop it and say so where there is no room."""
        held = _held_by(entry)
        with self._offering:  # never held by the writer
            waiting_bytes = self._put_bytes - self._taken_bytes
            if (
                self._queue.qsize() >= self._entries_max
                or waiting_bytes + held > self._held_max_bytes
            ):
                self.dropped += 1
                return False
            self._put_bytes += held
            self._queue.put((entry, held))
            return True

    def close(self) -> None:
        """Let the writer know that nothing comes any more."""
        self._queue.put(None)

    def take(self, wait_s: float | None) -> tuple[list[tuple[Entry, int]], bool]:
        """Wait for entries, at most `wait_s`; for ever where that is None.

        The caller says with `forget` when it has let go of each.

        Returns:
            The entries with what they hold, and whether these were the last.
        """
        taken: list[tuple[Entry, int]] = []
        try:
            item = self._queue.get(timeout=wait_s)
            if item is not None and self._queue.empty():
                time.sleep(GATHER_S)
            while item is not None:
                taken.append(item)
                if len(taken) >= ROUND_MAX:
                    return taken, False
                item = self._queue.get_nowait()
        except Empty:
            return taken, False
        return taken, True

    def forget(self, held_bytes: int) -> None:
        """Count memory as free again; on the writer's thread."""
        self._taken_bytes += held_bytes


def _held_by(entry: Entry) -> int:
    """Return how much memory lives as long as this entry, nearly."""
    held = 0
    for array in entry.inputs.values():
        held += held_bytes(array)
    for array in entry.outputs.values():
        held += held_bytes(array)
    return held
