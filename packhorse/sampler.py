"""Decide which requests are kept, at next to no cost for those that are not.

Each request is kept with the same probability, independently of all others. It
is not asked of each: how many come until the next one is kept is distributed
geometrically, so one number is drawn for each that is kept, and counted down.

A busy server would spend a tenth of its time on one request in a hundred. So a
sample is given pauses: what is drawn in one is passed over, and the next that is
kept stands for it too.
"""

import math
from collections.abc import Callable

from packhorse.errors import MalformedError

PAUSE_S = 0.1
"""From one that is kept to the next. Of a small model's predictions one costs 0.2 ms,
of pictures 1 ms, in this process or on its disk: ten a second are 1 % at most."""

_NEVER = 2**62
"""More requests than one process can ever see."""


class Sampler:
    """The decision of one process; on one thread.

    Attributes:
        ratio: Share of the requests that were kept: the one that was kept last
            stands for 1 / `ratio`.
        pause_s: From one that is kept to the next; who keeps long ones may set it.
    """

    __slots__ = (
        "_clock",
        "_draw",
        "_gap",
        "_kept_s",
        "_passed",
        "_ratio",
        "pause_s",
        "ratio",
    )

    def __init__(
        self,
        ratio: float,
        draw: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """Keep a share of `ratio`, in [0, 1], by numbers drawn from [0, 1).

        Processes that forked from one another must draw apart.

        Where all are to be kept, there are no pauses.

        Raises:
            MalformedError: `ratio` is no share.
        """
        if not 0.0 <= ratio <= 1.0:
            raise MalformedError(f"a sampling ratio must lie in 0..1, not {ratio}")
        self.ratio = self._ratio = ratio
        self.pause_s = PAUSE_S
        self._draw = draw
        self._clock = clock
        self._kept_s = -math.inf
        self._passed = 0
        self._gap = self._next_gap()

    def wants(self) -> bool:
        """Say whether the request that has just come is kept."""
        self._gap -= 1
        if self._gap:
            return False
        self._gap = self._next_gap()
        return self._ratio == 1.0 or self._is_time()

    def _is_time(self) -> bool:
        """Say whether one that was drawn is kept, and then for how many it stands."""
        now_s = self._clock()
        if now_s - self._kept_s < self.pause_s:
            self._passed += 1
            return False
        self.ratio = self._ratio / (1 + self._passed)
        self._kept_s, self._passed = now_s, 0
        return True

    def _next_gap(self) -> int:
        """Draw how many requests come until one is kept, that one included."""
        if self._ratio == 0.0:
            return _NEVER
        if self._ratio == 1.0:
            return 1
        trials = math.log1p(-self._draw()) / math.log1p(-self._ratio)
        return 1 + int(min(trials, _NEVER))
