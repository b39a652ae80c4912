"""What a run showed, as lines of JSON.

Only the standard library is imported, so that the plot's own environment can
read them.
"""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.serving.results import LeftOut, Setup, Window, of_kind


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """One start of a function, from its process to its first right answer.

    Attributes:
        cpu_s: CPU time of its tree.
    """

    entrant: str
    round: int
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """What a function's process tree held after a load.

    Attributes:
        alone_mb: Its proportional share (PSS) if nothing else mapped its files.
        answering_rss_mb: Resident memory of the process that answers.
    """

    cell: str
    entrant: str
    round: int
    alone_mb: float
    answering_rss_mb: float
    processes: int


@dataclass(frozen=True, slots=True)
class Results:
    """All of one run."""

    setup: Setup
    starts: tuple[FirstAnswer, ...]
    windows: tuple[Window, ...]
    held: tuple[Held, ...]
    left_out: tuple[LeftOut, ...] = ()

    def window(self, cell: str, entrant: str, measure: str) -> dict[int, float]:
        """Return a measure of every window of a cell, by its round."""
        return {
            w.round: getattr(w, measure)
            for w in self.windows
            if (w.cell, w.entrant) == (cell, entrant)
        }

    def start(self, entrant: str, measure: str) -> dict[int, float]:
        """Return a measure of every start, by its round."""
        return {
            s.round: getattr(s, measure) for s in self.starts if s.entrant == entrant
        }

    def memory(self, cell: str, entrant: str, measure: str) -> dict[int, float]:
        """Return what was held after every window of a cell, by its round."""
        return {
            h.round: getattr(h, measure)
            for h in self.held
            if (h.cell, h.entrant) == (cell, entrant)
        }

    def entrants(self) -> list[str]:
        """Return who took part, in the order of the ring."""
        return list(dict.fromkeys(w.entrant for w in self.windows))


def median(by_round: dict[int, float]) -> float | None:
    """Return the median of the rounds, None where there are none."""
    return statistics.median(by_round.values()) if by_round else None


def median_of_both(
    ours: dict[int, float],
    theirs: dict[int, float],
    compare: Callable[[float, float], float],
) -> float | None:
    """Return the median over the rounds of what compares both within one round."""
    both = {r: compare(ours[r], theirs[r]) for r in ours if r in theirs}
    return median(both)


def read_results(path: Path) -> Results:
    """Read the file of a run.

    Raises:
        ValueError: It says nothing of how it was measured.
    """
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    setups = list(of_kind(documents, Setup))
    if not setups:
        raise ValueError(f"expected results of the bench, came {path}")
    return Results(
        setup=setups[0],
        starts=tuple(of_kind(documents, FirstAnswer)),
        windows=tuple(of_kind(documents, Window)),
        held=tuple(of_kind(documents, Held)),
        left_out=tuple(of_kind(documents, LeftOut)),
    )
