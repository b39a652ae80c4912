"""Count which releases have answered, and whether they were to."""

import time
from collections.abc import Callable
from dataclasses import dataclass

_RELEASES_MAX = 64
"""Of one model; whatever comes beyond is counted together."""
_OTHERS = "others"


@dataclass(slots=True)
class _Count:
    answers: int = 0
    unexpected: int = 0
    last_at: float = 0.0


class Answered:
    """What this process has seen since it started."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing."""
        self._clock = clock
        self._counts: dict[str, dict[str, _Count]] = {}

    def note(self, model: str, release: str, *, is_unexpected: bool) -> None:
        """Count an answer; a release is empty where nobody knows which it was."""
        counts = self._counts.setdefault(model, {})
        name = release or "unknown"
        if name not in counts and len(counts) >= _RELEASES_MAX:
            name = _OTHERS
        count = counts.setdefault(name, _Count())
        count.answers += 1
        count.unexpected += is_unexpected
        count.last_at = self._clock()

    def tell(self, model: str) -> list[dict[str, object]]:
        """Return what has answered for a model, the latest first."""
        now = self._clock()
        counts = self._counts.get(model, {}).items()
        return [
            {
                "release": name,
                "answers": count.answers,
                "unexpected": count.unexpected,
                "last_s_ago": round(now - count.last_at, 1),
            }
            for name, count in sorted(counts, key=lambda item: -item[1].last_at)
        ]
