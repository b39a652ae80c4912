"""A run as Markdown: the table, and how it was measured."""

import statistics
from collections.abc import Callable

from bench.marks import Marks
from bench.predict.cells import CELLS
from bench.predict.entrants import CLIENT, DIRECT, TITLES
from bench.predict.goals import MISSING, ROWS, Row, microseconds, milliseconds, rate
from bench.predict.results import Results, median
from bench.report import table

MARKS = Marks(
    "<!-- make bench-predict writes from here -->",
    "<!-- make bench-predict: to here -->",
)
_WORDS = {True: "yes", False: "**no**", None: MISSING}


def goals_table(results: Results) -> str:
    """Return every figure of everybody, what must be reached, and whether it was."""
    names = results.entrants()
    header = ("", *(TITLES[name] for name in names), "must reach", "ratio", "reached")
    return table(header, [_line(results, row, names) for row in ROWS])


def loads_table(results: Results) -> str:
    """Return the processor time, rate and latency under every load."""
    rows = [
        (
            cell.title,
            TITLES[name],
            _cell(results, cell.name, name, "cpu_us", microseconds),
            _cell(results, cell.name, name, "per_s", rate),
            _cell(results, cell.name, name, "p50_us", milliseconds),
            _cell(results, cell.name, name, "p99_us", milliseconds),
        )
        for cell in CELLS
        for name in results.entrants()
        if results.window(cell.name, name, "cpu_us")
    ]
    return table(("", "", "CPU per request", "requests/s", "p50", "p99"), rows)


def conditions(results: Results) -> str:
    """Return when, where and with what it was measured, and what was left out."""
    setup = results.setup
    shares = [w.others_share for w in results.windows if w.entrant != DIRECT]
    others = f"{statistics.median(shares):.0%}" if shares else "unknown"
    versions = "; ".join(f"{name} {v}" for name, v in setup.versions.items())
    measured = (
        f"Measured {setup.at} on {setup.machine}; {setup.rounds} rounds of"
        f" {setup.seconds} s windows, medians; other work took {others} of the"
        " machine (median)."
    )
    lines = [measured, f"Versions: {versions}."]
    lines += [
        f"Left out from then on: {TITLES[left.entrant]}: {left.why}"
        for left in results.left_out
    ]
    return "\n".join(lines)


def document(results: Results, *, plot: str = "") -> str:
    """Return the whole of what `bench/README.md` holds between its marks."""
    parts = [conditions(results), goals_table(results), loads_table(results)]
    if plot:
        parts.append(f"![The prediction function and its peers]({plot})")
    return "\n\n".join(parts)


def _line(results: Results, row: Row, names: list[str]) -> tuple[str, ...]:
    values = {name: median(row.read(results, name)) for name in names}
    if row.what.startswith("added") and DIRECT in values:
        # Nothing is added to what it is measured by.
        values[DIRECT] = None
    return (
        row.what,
        *(MISSING if v is None else row.write(v) for v in values.values()),
        row.must,
        _ratio(results, row),
        _WORDS[row.is_reached(results)],
    )


def _ratio(results: Results, row: Row) -> str:
    ratio = row.ratio(results, CLIENT)
    if ratio is None:
        return MISSING
    direct = row.ratio(results, DIRECT) if row.is_rate else None
    share = "" if direct is None else f"; {direct:.0%} of (c)"
    return f"{ratio:.1f}x{share}"


def _cell(
    results: Results, cell: str, name: str, measure: str, write: Callable[[float], str]
) -> str:
    value = median(results.window(cell, name, measure))
    return MISSING if value is None else write(value)
