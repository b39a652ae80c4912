"""How many requests were answered, by route and status, and how long they took.

Counted on the event loop's thread only, so no count is ever lost to another.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

ERROR, SERVER_ERROR = 400, 500
"""The first HTTP statuses that are no success, and our own fault."""

UNKNOWN_ROUTE = "other"
"""Who knocks at doors that are not there makes no error of ours."""


@dataclass(frozen=True, slots=True)
class LastError:
    """The last answer that was no success; never what was in the request."""

    at_s: float
    route: str
    status: int

    def describe(self) -> dict[str, object]:
        """Return it for people and programs."""
        at = datetime.fromtimestamp(self.at_s, UTC).isoformat(timespec="seconds")
        return {"at": at, "route": self.route, "status": self.status}


@dataclass(slots=True)
class Counts:
    """Counts since this worker started."""

    answered: dict[tuple[str, int], int] = field(default_factory=dict)
    busy_s: dict[str, float] = field(default_factory=dict)
    last_error: LastError | None = None
    clock: Callable[[], float] = time.time
    started_s: float = field(default_factory=time.monotonic)

    @property
    def uptime_s(self) -> float:
        """Return how long this worker has been there; no clock change shows in it."""
        return time.monotonic() - self.started_s

    def mean_ms(self, route: str) -> float:
        """Return how long an answer took on average, in milliseconds."""
        count = sum(n for (name, _), n in self.answered.items() if name == route)
        return 1000.0 * self.busy_s.get(route, 0.0) / count if count else 0.0

    def add(self, route: str, status: int, elapsed_s: float) -> None:
        """Count one answer."""
        key = (route, status)
        self.answered[key] = self.answered.get(key, 0) + 1
        self.busy_s[route] = self.busy_s.get(route, 0.0) + elapsed_s
        if status >= (SERVER_ERROR if route == UNKNOWN_ROUTE else ERROR):
            self.last_error = LastError(self.clock(), route, status)

    def describe(self) -> dict[str, dict[str, int]]:
        """Return the counts by route, then by status."""
        found: dict[str, dict[str, int]] = {}
        for (route, status), count in sorted(self.answered.items()):
            found.setdefault(route, {})[str(status)] = count
        return found

    def metrics(self, release: str) -> str:
        """Write the counts in Prometheus' text format.

        Source: Prometheus, "Exposition formats", text-based format
        """
        lines = ["# TYPE packhorse_requests_total counter"]
        lines += [
            f'packhorse_requests_total{{route="{route}",status="{status}",'
            f'release="{release}"}} {count}'
            for (route, status), count in sorted(self.answered.items())
        ]
        lines.append("# TYPE packhorse_request_seconds_total counter")
        lines += [
            f'packhorse_request_seconds_total{{route="{route}",release="{release}"}}'
            f" {busy_s:.6f}"
            for route, busy_s in sorted(self.busy_s.items())
        ]
        return "\n".join(lines) + "\n"
