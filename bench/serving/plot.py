"""Draws a run of the ring: `python -m bench.serving.plot RESULTS PNG`.

Runs in an environment of its own that has Matplotlib.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

from bench.serving.results import Results, read_results

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_OURS = "packhorse"


@dataclass(frozen=True, slots=True)
class _Panel:
    """One load: which measure of it, and how many µs its unit has."""

    cell: str
    measure: str
    unit_us: int
    title: str


_PANELS = (
    _Panel("s_json", "cpu_us", 1, "S, JSON, 32 connections: CPU µs/request"),
    _Panel("s_one", "p50_us", 1, "S, JSON, 1 connection: p50 µs"),
    _Panel("t_binary", "cpu_us", 1, "T (600 kB), binary: CPU µs/request"),
    _Panel("t_json", "cpu_us", 1000, "T (3 MB), JSON: CPU ms/request"),
    _Panel("m_json", "cpu_us", 1000, "M, JSON: CPU ms/request"),
    _Panel("w_binary", "cpu_us", 1, "W, binary, 32 connections: CPU µs/request"),
)
_COLUMNS = 2
_WHOLE = 100
"""From here on, digits behind the point say nothing."""

_OUR_COLOUR, _PEER_COLOUR, _LIMIT_COLOUR = "#1b7f5c", "#9aa5b1", "#d9c27e"
_LIMITS = frozenset({"limit", "session.run"})


def main() -> None:
    """Draw every load that the file has."""
    results = read_results(Path(sys.argv[1]))
    panels = [p for p in _PANELS if results.by_round(p.cell, _OURS, p.measure)]
    rows = -(-max(len(panels), 1) // _COLUMNS)
    figure, grid = plt.subplots(
        rows, _COLUMNS, figsize=(11, 2.9 * rows), squeeze=False, layout="constrained"
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, results, panel)
    figure.suptitle(f"ONNX model servers, one thread each; {results.setup.at}")
    figure.savefig(sys.argv[2], dpi=110)


def _draw_panel(axes: Axes, results: Results, panel: _Panel) -> None:
    """Draw one bar for each server, ours in its own colour, the least first."""
    found = {
        name: value / panel.unit_us
        for name in results.entrants()
        if (value := results.least(panel.cell, name, panel.measure)) is not None
    }
    names = sorted(found, key=found.__getitem__, reverse=True)
    values = [found[name] for name in names]
    bars = axes.barh(
        names,
        values,
        color=[_colour(name) for name in names],
    )
    labels = [f"{v:,.0f}" if v >= _WHOLE else f"{v:.3g}" for v in values]
    axes.bar_label(bars, labels, padding=3, fontsize=8)
    axes.set_title(panel.title, fontsize=10)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _colour(name: str) -> str:
    """Ours, what nobody can beat, and the others."""
    if name.startswith(_OURS):
        return _OUR_COLOUR
    return _LIMIT_COLOUR if name in _LIMITS else _PEER_COLOUR


if __name__ == "__main__":
    main()
