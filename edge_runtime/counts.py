"""How many requests were answered, by route and status, and how long they took.

Counted on the event loop's thread only, so no count is ever lost to another.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """Counts since this worker started."""

    answered: dict[tuple[str, int], int] = field(default_factory=dict)
    busy_s: dict[str, float] = field(default_factory=dict)

    def add(self, route: str, status: int, elapsed_s: float) -> None:
        """Count one answer."""
        key = (route, status)
        self.answered[key] = self.answered.get(key, 0) + 1
        self.busy_s[route] = self.busy_s.get(route, 0.0) + elapsed_s

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
