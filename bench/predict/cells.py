"""The loads: how many connections, how long a body."""

from dataclasses import dataclass

from bench.predict.entrants import CLIENT, DIRECT, OURS
from bench.predict.samples import LARGE, SMALL

MANY, SIXTEEN, ONE, BIG = "many", "sixteen", "one", "large"


@dataclass(frozen=True, slots=True)
class Cell:
    """One load.

    Attributes:
        floats: In the body.
        is_quick: Part of a quick run too.
        entrants: Who is loaded so; empty for everybody.
    """

    name: str
    title: str
    connections: int
    floats: int = SMALL
    is_quick: bool = True
    entrants: tuple[str, ...] = ()

    def suits(self, entrant: str) -> bool:
        """Tell whether the entrant is loaded so."""
        return not self.entrants or entrant in self.entrants


CELLS = (
    Cell(MANY, "16 kB, 64 connections", 64),
    # Only for docs/predict-cost.md.
    Cell(
        SIXTEEN,
        "16 kB, 16 connections",
        16,
        is_quick=False,
        entrants=(OURS, CLIENT, DIRECT),
    ),
    Cell(ONE, "16 kB, 1 connection", 1),
    # What is in flight when a window closes costs and does not count: where a
    # request takes long, one connection is the fair load.
    Cell(BIG, "700 kB, 1 connection", 1, LARGE),
)
