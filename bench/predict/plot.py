"""Draws a run: `python -m bench.predict.plot RESULTS PNG`.

Runs in an environment of its own that has Matplotlib.
"""

import sys
from pathlib import Path

import matplotlib as mpl

from bench.predict.entrants import DIRECT, OURS, TITLES
from bench.predict.goals import ROWS, Row
from bench.predict.results import Results, median, read_results

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_COLUMNS = 2
_OUR_COLOUR, _PEER_COLOUR, _DIRECT_COLOUR = "#1b7f5c", "#9aa5b1", "#d9c27e"


def main() -> None:
    """Draw a panel for every figure that must be reached."""
    results = read_results(Path(sys.argv[1]))
    wanted = [row for row in ROWS if row.must != "reported"]
    rows = -(-len(wanted) // _COLUMNS)
    figure, grid = plt.subplots(
        rows, _COLUMNS, figsize=(11, 1.7 * rows), squeeze=False, layout="constrained"
    )
    for axes in grid.flat[len(wanted) :]:
        axes.set_axis_off()
    for axes, row in zip(grid.flat, wanted, strict=False):
        _draw(axes, results, row)
    figure.suptitle(f"Prediction functions before one upstream; {results.setup.at}")
    figure.savefig(sys.argv[2], dpi=110)


def _draw(axes: Axes, results: Results, row: Row) -> None:
    found = {
        name: value
        for name in reversed(results.entrants())
        if (value := median(row.read(results, name)))
    }
    bars = axes.barh(
        [TITLES[name] for name in found],
        list(found.values()),
        color=[_colour(name) for name in found],
    )
    labels = [row.write(value) for value in found.values()]
    axes.bar_label(bars, labels, padding=3, fontsize=8)
    axes.set_title(f"{row.what}  ({row.must})", fontsize=9)
    axes.margins(x=0.15)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _colour(name: str) -> str:
    if name == OURS:
        return _OUR_COLOUR
    return _DIRECT_COLOUR if name == DIRECT else _PEER_COLOUR


if __name__ == "__main__":
    main()
