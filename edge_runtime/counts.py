"""How many requests were answered, by route and status, and how long they took.

Counted on the event loop's thread only, so no count is ever lost to another. Who
reads them in another thread copies first what may grow meanwhile.
Several processes' counts are summed by `Counts.merge` over what `to_plain` wrote.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypedDict

ERROR, SERVER_ERROR = 400, 500
"""The first HTTP statuses that are no success, and our own fault."""

UNKNOWN_ROUTE = "other"
"""Who knocks at doors that are not there makes no error of ours."""

ERRORS_KEPT = 10


class PlainCounts(TypedDict):
    """The counts as one process sends them to another; JSON can hold them."""

    answered: dict[str, dict[str, int]]
    busy_s: dict[str, float]
    errors: list[tuple[float, str, int]]
    started_s: float


@dataclass(frozen=True, slots=True, order=True)
class ErrorAnswer:
    """An answer that was no success; never what was in the request."""

    at_s: float
    route: str
    status: int

    def describe(self) -> dict[str, object]:
        """Return it for people and programs."""
        at = datetime.fromtimestamp(self.at_s, UTC).isoformat(timespec="seconds")
        return {"at": at, "route": self.route, "status": self.status}


@dataclass(slots=True)
class Counts:
    """Counts since this worker started.

    Attributes:
        errors: The last answers that were no success, the oldest first.
        started_s: By the monotonic clock, which the processes of a machine share.
    """

    answered: dict[tuple[str, int], int] = field(default_factory=dict)
    busy_s: dict[str, float] = field(default_factory=dict)
    errors: deque[ErrorAnswer] = field(
        default_factory=lambda: deque(maxlen=ERRORS_KEPT)
    )
    clock: Callable[[], float] = time.time
    started_s: float = field(default_factory=time.monotonic)

    @property
    def uptime_s(self) -> float:
        """Return how long this worker has been there; no clock change shows in it."""
        return time.monotonic() - self.started_s

    @property
    def last_error(self) -> ErrorAnswer | None:
        """Return the last answer that was no success."""
        return self.errors[-1] if self.errors else None

    @property
    def total(self) -> int:
        """Return how many answers were given, whatever they were."""
        return sum(self.answered.values())

    def mean_ms(self, route: str) -> float:
        """Return how long an answer took on average, in milliseconds."""
        answered = self.answered.copy()
        count = sum(n for (name, _), n in answered.items() if name == route)
        return 1000.0 * self.busy_s.get(route, 0.0) / count if count else 0.0

    def add(self, route: str, status: int, elapsed_s: float) -> None:
        """Count one answer."""
        key = (route, status)
        self.answered[key] = self.answered.get(key, 0) + 1
        self.busy_s[route] = self.busy_s.get(route, 0.0) + elapsed_s
        if status >= (SERVER_ERROR if route == UNKNOWN_ROUTE else ERROR):
            self.errors.append(ErrorAnswer(self.clock(), route, status))

    def describe(self) -> dict[str, dict[str, int]]:
        """Return the counts by route, then by status."""
        found: dict[str, dict[str, int]] = {}
        for (route, status), count in sorted(self.answered.copy().items()):
            found.setdefault(route, {})[str(status)] = count
        return found

    def to_plain(self) -> PlainCounts:
        """Return what another process needs to add these to its own."""
        return {
            "answered": self.describe(),
            "busy_s": dict(self.busy_s),
            "errors": [(e.at_s, e.route, e.status) for e in list(self.errors)],
            "started_s": self.started_s,
        }

    def merge(self, plain: PlainCounts) -> None:
        """Add another process's counts; the uptime is the longer of both."""
        for route, by_status in plain["answered"].items():
            for status, count in by_status.items():
                key = (route, int(status))
                self.answered[key] = self.answered.get(key, 0) + count
        for route, busy_s in plain["busy_s"].items():
            self.busy_s[route] = self.busy_s.get(route, 0.0) + busy_s
        theirs = [ErrorAnswer(*error) for error in plain["errors"]]
        self.errors = deque(sorted([*self.errors, *theirs]), maxlen=ERRORS_KEPT)
        self.started_s = min(self.started_s, plain["started_s"])
