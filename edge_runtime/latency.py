"""How long the answers of the last minutes took, for the status page's chart.

Time is divided into slots of ten seconds; each holds a fine histogram, so that
percentiles can be had of any number of answers, and of several processes
together, in little memory. Kept on the event loop's thread only.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

SLOT_S = 10.0
SLOTS_MAX = 90
"""A quarter of an hour: what a person looks back at first, and what fits a page."""

_STEPS_PER_DECADE = 12
_DECADES = 7
BOUNDS_MS: Final = tuple(
    0.001 * 10 ** (step / _STEPS_PER_DECADE)
    for step in range(_STEPS_PER_DECADE * _DECADES + 1)
)
"""From 1 µs to 10 s, each a fifth above the last: percentiles are that exact."""

PlainSlot = tuple[int, list[tuple[int, int]]]
"""A slot's number, and its filled buckets with their counts."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The answers of ten seconds.

    Attributes:
        number: Unix time over `SLOT_S`, rounded down.
        counts: Answers per bucket of `BOUNDS_MS`; the last is for slower ones.
    """

    number: int
    counts: list[int]

    @property
    def begin_s(self) -> float:
        """Return the Unix time at which it began."""
        return self.number * SLOT_S

    @property
    def count(self) -> int:
        """Return how many answers there were."""
        return sum(self.counts)

    def quantile_ms(self, quantile: float) -> float:
        """Return the time within which this part of the answers was given."""
        return quantile_ms(self.counts, quantile)


class RecentTimes:
    """The slots of the last quarter of an hour in which there were answers."""

    def __init__(self) -> None:
        """Start empty."""
        self._slots: deque[Slot] = deque(maxlen=SLOTS_MAX)
        self._number = -1
        self._counts: list[int] = []

    def add(self, at_s: float, took_ms: float) -> None:
        """Take an answer's Unix time and its milliseconds."""
        number = int(at_s // SLOT_S)
        if number != self._number:
            self._begin(number)
        self._counts[bisect_left(BOUNDS_MS, took_ms)] += 1

    def slots(self, now_s: float) -> list[Slot]:
        """Return the slots of the quarter of an hour up to now, oldest first."""
        last = int(now_s // SLOT_S)
        kept = [s for s in list(self._slots) if last - SLOTS_MAX < s.number <= last]
        return sorted(kept, key=lambda slot: slot.number)

    def to_plain(self) -> list[PlainSlot]:
        """Return what another process needs to add these to its own."""
        return [
            (slot.number, [(i, n) for i, n in enumerate(slot.counts) if n])
            for slot in list(self._slots)
        ]

    def merge(self, plain: list[PlainSlot]) -> None:
        """Add another process's answers."""
        sums = {slot.number: list(slot.counts) for slot in self._slots}
        for number, filled in plain:
            counts = sums.setdefault(number, _no_counts())
            for bucket, count in filled:
                counts[bucket] += count
        self._slots = deque(
            (Slot(number, sums[number]) for number in sorted(sums)), maxlen=SLOTS_MAX
        )
        self._number = -1

    def _begin(self, number: int) -> None:
        """Begin a slot; the clock may have been set either way."""
        self._number, self._counts = number, _no_counts()
        self._slots.append(Slot(number, self._counts))


def quantile_ms(counts: list[int], quantile: float) -> float:
    """Return the time within which this part of the answers was given, 0 of none.

    Args:
        counts: Answers per bucket of `BOUNDS_MS`, one more than there are bounds.
        quantile: From 0 to 1.
    """
    sums = list(accumulate(counts))
    if not sums[-1]:
        return 0.0
    wanted = max(quantile * sums[-1], 1e-9)
    bucket = min(bisect_left(sums, wanted), len(BOUNDS_MS) - 1)
    before = sums[bucket - 1] if bucket else 0
    share = min(1.0, (wanted - before) / max(1, counts[bucket]))
    step = 10 ** (1 / _STEPS_PER_DECADE)
    return float(BOUNDS_MS[bucket] * step ** (share - 1.0))


def _no_counts() -> list[int]:
    return [0] * (len(BOUNDS_MS) + 1)
