"""Compare answers without keeping the event loop, and import numpy when first needed.

JSON is read in about 3 ns a byte. Small answers are compared at once: a thread
would cost more. Of larger ones most of the time goes into code of numpy's that
lets other threads run; only one is compared at a time, so that a share of shadow
traffic never takes more than a share of the processor.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from functions.adapters.upstream.client import Answer
from packhorse.tolerance import Tolerance

if TYPE_CHECKING:
    from functions.prediction.shadow_comparison import Agreement

INLINE_MAX_BYTES = 64 * 1024
"""Of both bodies together: 0.2 ms."""


Tolerances = Mapping[str, Mapping[str, Tolerance]]


class Comparer:
    """Compares answers to one request; belongs to the running loop."""

    def __init__(self, tolerances: Tolerances) -> None:
        """Compare with these tolerances, by model and output."""
        self._tolerances = tolerances
        self._turn = asyncio.Lock()
        self._is_loaded = False

    async def compare(self, model: str, live: Answer, shadow: Answer) -> "Agreement":
        """Say whether two answers agree."""
        tolerances = self._tolerances.get(model, {})
        size = len(live.body) + len(shadow.body)
        if self._is_loaded and size <= INLINE_MAX_BYTES:
            return _compare(live, shadow, tolerances)
        async with self._turn:
            found = await asyncio.to_thread(_compare, live, shadow, tolerances)
        self._is_loaded = True
        return found


def _compare(
    live: Answer, shadow: Answer, tolerances: Mapping[str, Tolerance]
) -> "Agreement":
    from functions.prediction.shadow_comparison import (  # noqa: PLC0415 - numpy
        compare_answers,
    )

    return compare_answers(live, shadow, tolerances)
