"""Decide which requests are kept, at next to no cost for those that are not.

Each request is kept with the same probability, independently of all others. It
is not asked of each: how many come until the next one is kept is distributed
geometrically, so one number is drawn for each that is kept, and counted down.
"""

import math
import random
from collections.abc import Callable

from edge_runtime.errors import SettingsError

_NEVER = 2**62
"""More requests than one process can ever see."""

_KERNEL = random.SystemRandom()
"""Processes that forked from one another draw apart from it."""


class Sampler:
    """The decision of one process; on one thread."""

    __slots__ = ("_draw", "_gap", "_ratio")

    def __init__(
        self,
        ratio: float,
        draw: Callable[[], float] = _KERNEL.random,
    ) -> None:
        """Keep a share of `ratio`, in [0, 1], by numbers drawn from [0, 1).

        Raises:
            SettingsError: `ratio` is no share.
        """
        if not 0.0 <= ratio <= 1.0:
            raise SettingsError(f"a sampling ratio must lie in 0..1, not {ratio}")
        self._ratio = ratio
        self._draw = draw
        self._gap = self._next_gap()

    def wants(self) -> bool:
        """Say whether the request that has just come is kept."""
        self._gap -= 1
        if self._gap:
            return False
        self._gap = self._next_gap()
        return True

    def _next_gap(self) -> int:
        """Draw how many requests come until one is kept, that one included."""
        if self._ratio == 0.0:
            return _NEVER
        if self._ratio == 1.0:
            return 1
        trials = math.log1p(-self._draw()) / math.log1p(-self._ratio)
        return 1 + int(min(trials, _NEVER))
