"""Draws a run of the fleet: `python -m bench.fleet.plot RESULTS PNG`.

Runs in an environment of its own that has Matplotlib.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl

from bench.fleet.report import per_gateway

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_REQUESTS, _RECEIVED = 0, 2
_COLOURS = ("#9aa5b1", "#d9c27e", "#1b7f5c")

Row = dict[str, object]


def main() -> None:
    """Draw requests and bytes of one gateway, for each size of fleet."""
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 4.2), sharey=True, layout="constrained"
    )
    _draw(left, rows, _REQUESTS, "{:.2f}")
    _draw(right, rows, _RECEIVED, "{:,.0f}")
    left.set_title("requests of one gateway, without reports", fontsize=10)
    right.set_title("bytes that it receives, heads included", fontsize=10)
    left.invert_yaxis()
    right.legend(fontsize=8)
    figure.savefig(sys.argv[2], dpi=110)


def _draw(axes: Axes, rows: list[Row], index: int, words: str) -> None:
    """Draw what one gateway costs in each chapter, for each size of fleet.

    Args:
        axes: Where.
        rows: The run.
        index: Of `per_gateway`.
        words: How a value is written beside its bar.
    """
    sizes, chapters = _values(rows, "size"), _values(rows, "chapter")
    height = 0.8 / len(sizes)
    for number, size in enumerate(sizes):
        found = [
            per_gateway(row, index, reports=False)
            for row in rows
            if row["size"] == size
        ]
        bars = axes.barh(
            [place + (number - 1) * height for place in range(len(chapters))],
            found,
            height,
            label=f"fleet of {int(str(size)):,}",
            color=_COLOURS[number % len(_COLOURS)],
        )
        labels = [words.format(value) for value in found]
        axes.bar_label(bars, labels, padding=3, fontsize=7)
    axes.set_yticks(range(len(chapters)), [str(name) for name in chapters], fontsize=8)
    axes.margins(x=0.12)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _values(rows: list[Row], name: str) -> list[object]:
    """Return the different values of a field, in their order."""
    return list(dict.fromkeys(row[name] for row in rows))


if __name__ == "__main__":
    main()
