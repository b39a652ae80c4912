"""A run of the ring as Markdown: what was reached, and all that was measured."""

import statistics

from bench.marks import Marks
from bench.report import table
from bench.serving.cells import CELLS
from bench.serving.entrants import ENTRANTS, OURS
from bench.serving.goals import MISSING, judge, time_text
from bench.serving.results import Results
from bench.serving.ring import SESSION

MARKS = Marks(
    "<!-- make bench-serving writes from here -->",
    "<!-- to here -->",
)

_LATENCIES = frozenset({"s_one", "s_one_awake"})
_WORDS = {True: "yes", False: "**no**", None: "not measured"}


def goals_table(results: Results, *, is_whole: bool) -> str:
    """Return what must be reached, what was measured, and whether it was.

    Args:
        results: What was measured.
        is_whole: Show too what was not measured.
    """
    return table(
        ("", "must reach", "measured", "peer", "ratio", "reached"),
        [
            (v.what, v.must, v.ours, v.peer, v.ratio, _WORDS[v.is_reached])
            for v in judge(results)
            if is_whole or v.is_reached is not None
        ],
    )


def cells_table(results: Results) -> str:
    """Return the CPU time of every server under every load, and the p50 of one."""
    names = results.entrants()
    cells = [
        cell
        for name, cell in CELLS.items()
        if any(window.cell == name for window in results.windows)
    ]
    columns = [(c.name, c.title, "cpu_us") for c in cells if not c.is_awake]
    columns += [
        (c.name, f"{c.title}: p50", "p50_us") for c in cells if c.name in _LATENCIES
    ]
    header = ("", *(title for _, title, _ in columns))
    rows = [
        (name, *(time_text(results.least(cell, name, m)) for cell, _, m in columns))
        for name in names
    ]
    return table(header, rows)


def starts_table(results: Results) -> str:
    """Return what every server needs to start, and to be there."""
    rows = []
    for name in dict.fromkeys(start.entrant for start in results.starts):
        memory = results.least_start(name, "memory_mib")
        pss = results.least_start(name, "pss_mib")
        rows.append(
            (
                name,
                f"{results.least_start(name, 'cpu_s'):.2f}",
                f"{results.least_start(name, 'wall_s'):.2f}",
                MISSING if memory is None else f"{memory:.0f}",
                MISSING if pss is None else f"{pss:.0f}",
                str(max(s.processes for s in results.starts if s.entrant == name)),
            )
        )
    header = (
        *("S", "CPU s to first right answer", "s"),
        *("PSS if alone, MiB", "PSS here, MiB", "processes"),
    )
    return table(header, rows)


def conditions(results: Results) -> str:
    """Return when, where and with what it was measured."""
    setup = results.setup
    titles = {entrant.name: entrant.title for entrant in ENTRANTS}
    versions = "; ".join(
        f"{name}: {titles.get(name, name)} {version}".strip()
        for name, version in setup.versions.items()
    )
    shares = [w.others_share for w in results.windows if w.entrant == OURS]
    others = f"{statistics.median(shares):.0%}" if shares else "unknown"
    measured = (
        f"Measured {setup.at} on {setup.machine}; {setup.rounds} rounds of"
        f" {setup.seconds} s windows; other work took {others} of the machine"
        " (median)."
    )
    lines = [measured, f"Versions: {versions}."]
    for left in results.left_out:
        cell = CELLS.get(left.where)
        where = cell.title if cell else left.where
        lines.append(f"Left out: {left.entrant} of {where or 'all'!r}: {left.why}")
    return "\n".join(lines)


def document(results: Results, *, plot: str = "", is_whole: bool = True) -> str:
    """Return the whole of what `bench/README.md` holds between its marks."""
    parts = [conditions(results)]
    if any(window.entrant == OURS for window in results.windows):
        parts.append(goals_table(results, is_whole=is_whole))
    parts += [
        (
            "CPU time of the server's process tree for each request, least of the"
            f" rounds (`{SESSION}`: the model alone):"
        ),
        cells_table(results),
    ]
    if results.starts:
        parts.append(starts_table(results))
    if plot:
        parts.append(f"![CPU time for each request]({plot})")
    return "\n\n".join(parts)
