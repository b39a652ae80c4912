"""A run of switches as a table."""

import statistics

from bench.marks import Marks
from bench.report import table
from bench.switch.results import Results

MARKS = Marks("<!-- switches -->", "<!-- /switches -->")
"""Between these stands the table of the last whole run."""


def write_document(results: Results) -> str:
    """Return the table of a run, in Markdown."""
    asked = f"{results.per_s:g} requests a second" if results.per_s else "no pause"
    rows = [
        ("switches", f"{len(results.switches)}"),
        ("right answers", f"{results.requests:,}"),
        ("**failed requests**", f"**{results.failed}**"),
        ("requests that a crashed worker held", f"{results.lost}"),
        *_latencies(results),
        *_works(results),
        *(
            (f"memory {name}", f"{m.alone_mib:.1f} MiB in {m.processes} processes")
            for name, m in results.memory.items()
        ),
        *(
            (f"back {name}: time to the former release's answer", _times(times))
            for name, times in results.rolled_back_s.items()
        ),
    ]
    head = (
        f"{results.at}; {results.machine}; {results.connections} connections,"
        f" {asked}; windows of {results.window_s:g} s."
    )
    return f"{head}\n\n{table(('', ''), rows)}\n"


def _latencies(results: Results) -> list[tuple[str, str]]:
    if not results.switches:
        return []
    found = []
    for name, measure in (("p50", "p50_ms"), ("p99", "p99_ms"), ("slowest", "most_ms")):
        ours, control = (results.median(k, measure) for k in ("window", "control"))
        ratio = results.ratio(measure)
        words = f"{ours:.2f} ms in a switch, {control:.2f} ms beside an idle-priority"
        what = f"{name}, median over windows"
        found.append((what, f"{words} burner; median ratio {ratio:.2f}"))
    return found


def _works(results: Results) -> list[tuple[str, str]]:
    if not results.switches:
        return []
    took_s = [switch.took_s for switch in results.switches]
    started_s = [switch.start_cpu_s for switch in results.switches]
    burned_s = [switch.burned_cpu_s for switch in results.switches]
    return [
        ("a switch takes", _times(took_s)),
        ("CPU time of a start", _times(started_s)),
        ("CPU time burned beside it", _times(burned_s)),
    ]


def _times(times_s: list[float]) -> str:
    if not times_s:
        return "-"
    return f"median {statistics.median(times_s):.3f} s, most {max(times_s):.3f} s"
