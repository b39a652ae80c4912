"""What a circuit counts, and when a probe may go; `circuit.py` says why."""

from collections.abc import Callable

OPENS_AT = 20.0
"""Failures more than answers. A burst of a few is what retries are for."""

PROBE_FIRST_S = 0.1
PROBE_MAX_S = 1.0
"""So long after an upstream is well, callers get answers again."""

PROBES_MAX = 16
"""On their way at once. A stall of a minute is probed a dozen times."""


class Circuit:
    """What speaks against one deployed model, or against an endpoint."""

    __slots__ = ("_scored_at", "_since", "answered_at", "is_open", "score")

    def __init__(self) -> None:
        """Begin closed."""
        self.is_open = False
        self.score = 0.0
        self.answered_at = 0.0
        self._scored_at = 0.0
        self._since = 0

    def note(self, began: int, last: int, now: float, *, is_failure: bool) -> bool:
        """Take one outcome into account, and say whether this opened or closed it.

        Args:
            began: The number of the request.
            last: The number of the youngest request.
            now: The time.
            is_failure: Whether it speaks against the upstream.
        """
        if began <= self._since:
            # It began before the last change, and says nothing of what is now.
            return False
        if self.is_open:
            if is_failure:
                return False
            self._turn(last, is_open=False)
            return True
        self.score = max(0.0, self.score - (now - self._scored_at))
        self.score = max(0.0, self.score + (1 if is_failure else -1))
        self._scored_at = now
        if self.score < OPENS_AT:
            return False
        self._turn(last, is_open=True)
        return True

    def _turn(self, last: int, *, is_open: bool) -> None:
        self.is_open = is_open
        self.score = 0.0
        self._since = last


class Probes:
    """When the next request may go to an endpoint that is given up for now."""

    __slots__ = ("_draw", "_next_at", "_pause_s", "era", "under_way")

    def __init__(self, draw: Callable[[], float]) -> None:
        """Begin without a probe.

        Args:
            draw: Gives random numbers in [0, 1).
        """
        self._draw = draw
        self._pause_s = PROBE_FIRST_S
        self._next_at = 0.0
        self.era = 0
        self.under_way = 0

    def begin(self, now: float) -> None:
        """Plan the first; those of an earlier failure count no longer."""
        self.era += 1
        self.under_way = 0
        self._plan(now, PROBE_FIRST_S)

    def is_due(self, now: float) -> bool:
        """Say whether a request may go."""
        return now >= self._next_at and self.under_way < PROBES_MAX

    def take(self, now: float) -> int:
        """Count one and plan the next; return what `give_back` wants."""
        self.under_way += 1
        self._plan(now, min(PROBE_MAX_S, 2 * self._pause_s))
        return self.era

    def give_back(self, era: int) -> None:
        """Count one that came back."""
        if era == self.era:
            self.under_way -= 1

    def left_s(self, now: float) -> float:
        """Return when to ask again."""
        return max(self._next_at - now, PROBE_FIRST_S)

    def _plan(self, now: float, pause_s: float) -> None:
        self._pause_s = pause_s
        # The instances of a function gave up together, and shall not ask together.
        jittered_s = pause_s * (1 + self._draw()) / 2
        self._next_at = now + jittered_s * max(1, self.under_way)
