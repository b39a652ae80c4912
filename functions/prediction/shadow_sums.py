"""Add up what shadow runs found, until Pub/Sub has taken the sums.

A sum that is handed out keeps its id and its contents until it is known to have
been taken, so that whoever gets it twice counts it once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from functions.release.shadows import NOTHING, ShadowCounts, ShadowReport
from packhorse.names import Release

PAIRS_MAX = 64
"""Of a live release and a candidate; a function serves a few models."""


@dataclass(slots=True)
class _Sum:
    since: datetime
    counts: ShadowCounts = NOTHING


class ShadowSums:
    """What is not yet reported, by live release and candidate."""

    def __init__(self, now: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        """Start with nothing.

        Args:
            now: The wall clock, UTC.
            new_id: Returns 32 hexadecimal digits that nobody else returns.
        """
        self._now = now
        self._new_id = new_id
        self._growing: dict[tuple[Release, Release], _Sum] = {}
        self._leaving: list[ShadowReport] = []

    def add(self, live: Release, candidate: Release, counts: ShadowCounts) -> bool:
        """Add what one run found; False where there is no room for another pair."""
        pair = (live, candidate)
        if pair not in self._growing:
            if len(self._growing) >= PAIRS_MAX:
                return False
            self._growing[pair] = _Sum(self._now())
        one = self._growing[pair]
        one.counts = one.counts + counts
        return True

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing to report."""
        return not (self._growing or self._leaving)

    def leaving(self) -> Sequence[ShadowReport]:
        """Return what is to be reported: the same until `taken` is called."""
        if not self._leaving:
            self._leaving = [
                ShadowReport(self._new_id(), *pair, one.since, one.counts)
                for pair, one in self._growing.items()
            ]
            self._growing.clear()
        return self._leaving

    def taken(self) -> None:
        """Forget what `leaving` returned last."""
        self._leaving = []
