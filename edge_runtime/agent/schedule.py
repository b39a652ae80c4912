"""When to look at the repository next.

By itself, every `poll_s` with jitter, and sooner after a failure. A notice makes
it sooner too; whoever floods a gateway with notices, forged or replayed, makes it
look a few times at once and then once in ten seconds. A repository that asks to be
left alone is left alone, for an hour at most.

A fleet never acts as one: the first look after a start is spread, since a town's
power comes back for all at once, and so is what an old notice asks for, since a
broker that starts again hands it to everybody.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

GAP_S = 1.0
"""Least time between two looks, whatever notices say."""

JITTER = 0.2
"""Polls are spread by so much of their time, so that a fleet does not march."""

SPREAD_MAX_S = 60.0
"""10,000 gateways that start at once are 170 requests a second then; who was off
while a release was withdrawn hears of it within this time."""

NOTICE_S = 10.0
NOTICES_AT_ONCE = 3
"""So many notices are obeyed at once, and one more in each `NOTICE_S`."""

QUIET_MAX_S = 3600.0
"""Longest time that a repository may ask for: who can forge its answers could also
withhold them, and a withdrawal must not wait for longer."""

BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 300.0


def backoff_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row, without jitter."""
    return min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(failures, 16))


def spread(wait_s: float) -> float:
    """Return `wait_s` give or take the jitter."""
    return wait_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


@dataclass(slots=True)
class Bucket:
    """Lets a few things through at once, and then one in each `refill_s`."""

    size: float
    refill_s: float
    tokens: float
    filled_s: float

    def wait_s(self, now_s: float) -> float:
        """Return how long until something is let through."""
        gained = (now_s - self.filled_s) / self.refill_s
        self.tokens = min(self.size, self.tokens + gained)
        self.filled_s = now_s
        return max(0.0, (1.0 - self.tokens) * self.refill_s)

    def take(self) -> None:
        """Let one through."""
        self.tokens = max(0.0, self.tokens - 1.0)


class Schedule:
    """The next look, by the clock or by a notice."""

    def __init__(
        self, poll_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with a look that is due."""
        self._poll_s = poll_s
        self._clock = clock
        self._lock = threading.Lock()
        self._rung = threading.Condition(self._lock)
        self._next_s = self._last_s = self._quiet_s = 0.0
        self._bell_s: float | None = None
        now_s = clock()
        self._bucket = Bucket(NOTICES_AT_ONCE, NOTICE_S, NOTICES_AT_ONCE, now_s)

    def spread_start(self) -> None:
        """Put the first look off, by a time of its own for each gateway."""
        most_s = min(self._poll_s, SPREAD_MAX_S)
        with self._lock:
            self._next_s = self._clock() + random.uniform(0.0, most_s)  # noqa: S311 - no secret

    def ring(self, *, is_old: bool = False) -> None:
        """Take a notice; called from any thread.

        Args:
            is_old: The broker kept it, so all who connect now get it.
        """
        most_s = min(self._poll_s, SPREAD_MAX_S) if is_old else 0.0
        at_s = self._clock() + random.uniform(0.0, most_s)  # noqa: S311 - no secret
        with self._rung:
            self._bell_s = at_s if self._bell_s is None else min(at_s, self._bell_s)
            self._rung.notify_all()

    def is_due(self) -> bool:
        """Say whether it is time to look."""
        with self._lock:
            return self._due_in_s() <= 0.0

    def begin(self) -> None:
        """Note that a look begins now: what was asked for until now is in it."""
        now_s = self._clock()
        with self._lock:
            # The first ever is nobody's notice, nor is one that was due anyway.
            if self._bell_s is not None and now_s < self._next_s:
                self._bucket.take()
            self._bell_s = None
            self._last_s = now_s + GAP_S
            self._next_s = now_s + spread(self._poll_s)

    def retry_in(self, wait_s: float) -> None:
        """Look again after `wait_s`, if that is sooner."""
        with self._lock:
            self._next_s = min(self._next_s, self._clock() + spread(wait_s))

    def be_quiet(self, wait_s: float) -> None:
        """Do not look for `wait_s`, as the repository asked."""
        with self._lock:
            until_s = self._clock() + min(wait_s, QUIET_MAX_S)
            self._quiet_s = max(self._quiet_s, until_s)

    def sleep(self, most_s: float) -> None:
        """Wait until a look is due, and for `most_s` at most."""
        until_s = self._clock() + most_s
        with self._rung:
            while True:
                wait_s = min(self._due_in_s(), until_s - self._clock())
                if wait_s <= 0.0:
                    return
                self._rung.wait(wait_s)

    def _due_in_s(self) -> float:
        """Return how long until a look is due."""
        now_s = self._clock()
        wait_s = self._next_s - now_s
        if self._bell_s is not None:
            bell_s = max(self._bell_s - now_s, self._bucket.wait_s(now_s))
            wait_s = min(wait_s, bell_s)
        return max(wait_s, self._last_s - now_s, self._quiet_s - now_s)
