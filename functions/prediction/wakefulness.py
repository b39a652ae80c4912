"""Notice when this process does not get to run.

A function's instance has no processor between requests: it stands still, and the
clock goes on. What was under way meanwhile seems to have taken seconds. So a
timer that is due every few milliseconds is looked at: how late it comes is how
long nothing else could run either.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

BEAT_S = 0.02
"""Fifty wake-ups a second, of a few microseconds, and only while somebody watches."""

LATE_S = 0.03
"""A busy loop is late too, by less than this mostly."""

COUNTS_FROM = 0.1
"""The share of a time from which on it is not worth telling."""


class Wakefulness:
    """How long the running loop was kept from running, while somebody watches."""

    def __init__(self) -> None:
        """Watch nothing yet; belongs to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._watchers = 0
        self._away_s = 0.0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep the timer going for as long as this is open."""
        self._watchers += 1
        if self._watchers == 1:
            self._set()
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers and self._timer is not None:
                self._timer.cancel()

    def away_s(self) -> float:
        """Return how long it did not run so far: compare two of these.

        What is due and late already counts: after a standstill it is not said
        who of those that wait runs first.
        """
        late_s = self._loop.time() - self._due_s if self._watchers else 0.0
        return self._away_s + (late_s if late_s > LATE_S else 0.0)

    def _set(self) -> None:
        self._due_s = self._loop.time() + BEAT_S
        self._timer = self._loop.call_at(self._due_s, self._beat)

    def _beat(self) -> None:
        self._away_s = self.away_s()
        self._set()


def is_worth_telling(took_s: float, away_s: float) -> bool:
    """Say whether a time still means something, of which so much was not run."""
    return away_s < COUNTS_FROM * took_s
