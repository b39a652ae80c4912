"""Draws a run of the fleet: `python -m bench.fleet.plot RESULTS PNG`.

Runs in an environment of its own that has Matplotlib.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_REPORTS = "reports"
_REQUESTS, _RECEIVED = 0, 2
_COLOURS = ("#9aa5b1", "#d9c27e", "#1b7f5c")

Row = dict[str, object]


def main() -> None:
    """Draw bytes a gateway, and requests of the whole fleet."""
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    _draw_bytes(left, rows)
    _draw_requests(right, rows)
    figure.savefig(sys.argv[2], dpi=110)


def _draw_bytes(axes: Axes, rows: list[Row]) -> None:
    """Draw what one gateway receives in each chapter, for each size of fleet."""
    sizes, chapters = _values(rows, "size"), _values(rows, "chapter")
    height = 0.8 / len(sizes)
    for index, size in enumerate(sizes):
        found = [
            _total(_find(rows, size, c), _RECEIVED) / int(str(size)) for c in chapters
        ]
        places = [n + (index - 1) * height for n in range(len(chapters))]
        bars = axes.barh(
            places,
            [max(value, 1) for value in found],
            height,
            label=f"{size:,} gateways",
            color=_COLOURS[index % len(_COLOURS)],
        )
        labels = [f"{value:,.0f}" for value in found]
        axes.bar_label(bars, labels, padding=3, fontsize=7)
    axes.set_yticks(range(len(chapters)), chapters, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_title("bytes that one gateway receives", fontsize=10)
    axes.legend(fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_requests(axes: Axes, rows: list[Row]) -> None:
    """Draw how the requests of all gateways grow with their number."""
    sizes = _values(rows, "size")
    for chapter in _values(rows, "chapter"):
        totals = [_total(_find(rows, size, chapter), _REQUESTS) for size in sizes]
        axes.plot(sizes, totals, marker="o", label=chapter)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("gateways", fontsize=8)
    axes.set_title("requests of the whole fleet, without reports", fontsize=10)
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _values(rows: list[Row], name: str) -> list[object]:
    """Return the different values of a field, in their order."""
    return list(dict.fromkeys(row[name] for row in rows))


def _find(rows: list[Row], size: object, chapter: object) -> Row:
    return next(r for r in rows if (r["size"], r["chapter"]) == (size, chapter))


def _total(row: Row, index: int) -> float:
    """Return a count of all kinds but reports."""
    counts = row["counts"]
    assert isinstance(counts, dict)  # noqa: S101 - our own file
    return float(sum(c[index] for kind, c in counts.items() if kind != _REPORTS))


if __name__ == "__main__":
    main()
