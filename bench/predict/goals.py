"""What must be reached beside the function that most people write, and what was.

Times, ratios and differences are taken within each round, where all met the same
machine; the median of the rounds counts.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench.predict.cells import BIG, MANY, ONE
from bench.predict.entrants import CLIENT, DIRECT, OURS
from bench.predict.results import Results, median, median_of_both

ByRound = dict[int, float]
Read = Callable[[Results, str], ByRound]
MISSING = "-"
_WHOLE = 100
"""From here on, digits behind the point say nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        read: A measure of an entrant, by round.
        write: It for people.
        must: What must be reached; empty where it is only reported.
        times: The client's measure over ours must be this at least; of rates, ours
            over the client's.
        at_most: Ours may be this at most.
    """

    what: str
    read: Read
    write: Callable[[float], str]
    times: float | None = None
    is_rate: bool = False
    at_most: float | None = None

    @property
    def must(self) -> str:
        """What must be reached; empty where it is only reported."""
        if self.times is not None:
            return (
                f"≥ {self.times:g}x of (a)"
                if self.is_rate
                else f"≥ {self.times:g}x less than (a)"
            )
        return (
            f"≤ {self.write(self.at_most)}" if self.at_most is not None else "reported"
        )

    def ratio(self, results: Results, peer: str) -> float | None:
        """Return how many times less we cost, or more we do, than a peer."""
        compare = _share if self.is_rate else _times_less
        return median_of_both(
            self.read(results, OURS), self.read(results, peer), compare
        )

    def is_reached(self, results: Results) -> bool | None:
        """Tell whether it was reached; None where that was not measured or asked."""
        if self.times is not None:
            ratio = self.ratio(results, CLIENT)
            return None if ratio is None else ratio >= self.times
        ours = median(self.read(results, OURS))
        if self.at_most is None or ours is None:
            return None
        return ours <= self.at_most


def _times_less(ours: float, theirs: float) -> float:
    return theirs / ours


def _share(ours: float, theirs: float) -> float:
    return ours / theirs


def _window(cell: str, measure: str) -> Read:
    return lambda results, name: results.window(cell, name, measure)


def _start(measure: str) -> Read:
    return lambda results, name: results.start(name, measure)


def _memory(cell: str, measure: str) -> Read:
    return lambda results, name: results.memory(cell, name, measure)


def _added_us(results: Results, name: str) -> ByRound:
    """Return what a function adds to the upstream's own median latency."""
    direct = results.window(ONE, DIRECT, "p50_us")
    theirs = results.window(ONE, name, "p50_us")
    return {r: theirs[r] - direct[r] for r in theirs if r in direct}


def seconds(value: float) -> str:
    """Write seconds."""
    return f"{value:.2f} s"


def milliseconds(value_us: float) -> str:
    """Write microseconds as milliseconds."""
    value = value_us / 1000
    return f"{value:,.0f} ms" if value >= _WHOLE else f"{value:.3g} ms"


def microseconds(value: float) -> str:
    """Write microseconds."""
    return f"{value:,.0f} µs"


def rate(value: float) -> str:
    """Write a rate."""
    return f"{value:,.0f}"


def megabytes(value: float) -> str:
    """Write megabytes."""
    return f"{value:.0f} MB"


_START = "process start to first answer"
ROWS = (
    Row(f"{_START}, wall", _start("wall_s"), seconds, times=5),
    Row(f"{_START}, CPU", _start("cpu_s"), seconds, times=5),
    Row(
        "CPU per request, 64 connections",
        _window(MANY, "cpu_us"),
        microseconds,
        times=12,
    ),
    Row(
        "requests/s, 64 connections, one instance",
        _window(MANY, "per_s"),
        rate,
        times=9,
        is_rate=True,
    ),
    Row("added p50, 1 connection", _added_us, milliseconds, at_most=1500),
    Row("p50, 64 connections", _window(MANY, "p50_us"), milliseconds),
    Row("p99, 64 connections", _window(MANY, "p99_us"), milliseconds),
    Row(
        "resident memory of the process that answers (RSS)",
        _memory(MANY, "answering_rss_mb"),
        megabytes,
        at_most=60,
    ),
    Row(
        "resident memory of the whole tree (PSS), gunicorn's master too",
        _memory(MANY, "alone_mb"),
        megabytes,
        at_most=60,
    ),
    Row("the same after 700 kB bodies", _memory(BIG, "alone_mb"), megabytes),
    Row("700 kB body, CPU per request", _window(BIG, "cpu_us"), microseconds, times=30),
)
