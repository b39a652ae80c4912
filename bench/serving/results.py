"""What a run of the ring showed, as lines of JSON.

Only the standard library is imported, so that the plot's own environment can
read them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Setup:
    """When, where and with what it was measured.

    Attributes:
        versions: Of what ran, by entrant or package.
    """

    at: str
    machine: str
    seconds: int
    rounds: int
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A server that could not be measured.

    Attributes:
        where: The load, or the model, or empty for all.
    """

    entrant: str
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a server with the model S, alone in the ring.

    Attributes:
        cpu_s: CPU time of its tree from its start to its first right answer.
        memory_mib: After load, when nothing else maps its files; None where it
            was not looked at.
        pss_mib: The same as the kernel counts it here, where environments share
            files: less the more others run.
    """

    entrant: str
    round: int
    cpu_s: float
    wall_s: float
    memory_mib: float | None
    pss_mib: float | None
    processes: int


@dataclass(frozen=True, slots=True)
class Window:
    """One window of load.

    Attributes:
        cell: Which load, by its name in `cells.py`.
        entrant: Whose; `session.run` for the model alone, in the bench's process.
        cpu_us: CPU time of the server's tree for each request.
    """

    cell: str
    entrant: str
    round: int
    requests: int
    per_s: float
    cpu_us: float
    client_cpu_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    others_share: float


@dataclass(frozen=True, slots=True)
class Results:
    """All of one run."""

    setup: Setup
    starts: tuple[Start, ...]
    windows: tuple[Window, ...]
    left_out: tuple[LeftOut, ...] = ()

    def entrants(self) -> list[str]:
        """Return who took part, in the order of the ring."""
        names = [s.entrant for s in self.starts] + [w.entrant for w in self.windows]
        return list(dict.fromkeys(names))

    def by_round(self, cell: str, entrant: str, measure: str) -> dict[int, float]:
        """Return a measure of every window of a cell, by its round."""
        return {
            window.round: getattr(window, measure)
            for window in self.windows
            if (window.cell, window.entrant) == (cell, entrant)
        }

    def least(self, cell: str, entrant: str, measure: str) -> float | None:
        """Return the least of the rounds, the one that others disturbed least."""
        return min(self.by_round(cell, entrant, measure).values(), default=None)

    def least_start(self, entrant: str, measure: str) -> float | None:
        """Return the least of a server's starts."""
        values = [getattr(s, measure) for s in self.starts if s.entrant == entrant]
        return min((v for v in values if v is not None), default=None)


class Writer:
    """Appends every result as it comes, so that a run cut short is not lost."""

    def __init__(self, path: Path) -> None:
        """Begin a new file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        self._path = path

    def write(self, result: "DataclassInstance") -> None:
        """Append one line."""
        line = json.dumps({"kind": type(result).__name__, **asdict(result)})
        with self._path.open("a") as file:
            file.write(line + "\n")


def read_results(path: Path) -> Results:
    """Read what a `Writer` wrote.

    Raises:
        ValueError: The file says nothing of how it was measured.
    """
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    setups = list(of_kind(documents, Setup))
    if not setups:
        raise ValueError(f"expected results of the bench, came {path}")
    return Results(
        setup=setups[0],
        starts=tuple(of_kind(documents, Start)),
        windows=tuple(of_kind(documents, Window)),
        left_out=tuple(of_kind(documents, LeftOut)),
    )


def of_kind(documents: Iterable[dict[str, object]], kind: type[Kind]) -> Iterable[Kind]:
    """Return the results of one kind among the lines of a file."""
    for document in documents:
        if document["kind"] == kind.__name__:
            values = {k: v for k, v in document.items() if k != "kind"}
            yield kind(**values)
