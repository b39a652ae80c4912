"""Hold a download back, so that it leaves the line to others."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PIECE_S = 0.25
"""What came is let through in pieces of so much time, not in bursts."""

UNLIMITED = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How many bytes a second may come; `UNLIMITED` says as many as do."""

    bytes_per_s: int = UNLIMITED
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def hold_back(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass `chunks` on, no faster than the pace; who sends is held back by TCP.

        Time in which nothing came is not made up for.
        """
        if self.bytes_per_s == UNLIMITED:
            yield from chunks
            return
        free_at_s = self.clock()
        for chunk in chunks:
            for piece in _cut(chunk, max(1, int(self.bytes_per_s * PIECE_S))):
                free_at_s = max(free_at_s, self.clock())
                free_at_s += len(piece) / self.bytes_per_s
                yield piece
                self.sleep(max(0.0, free_at_s - self.clock()))


def _cut(chunk: bytes, length_bytes: int) -> Iterator[bytes]:
    for start in range(0, len(chunk), length_bytes):
        yield chunk[start : start + length_bytes]
