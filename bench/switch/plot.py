"""Draws a run of switches: `python -m bench.switch.plot RESULTS PNG`.

Runs in an environment of its own that has Matplotlib.
"""

import sys
from pathlib import Path

import matplotlib as mpl

from bench.switch.results import Results, load_results

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_OURS, _CONTROL = "#1b7f5c", "#9aa5b1"
_LIMIT_MS = 1000.0
"""What the way back may take."""


def main() -> None:
    """Draw latencies by switch, and the times of going back."""
    results = load_results(Path(sys.argv[1]))
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    _draw_latency(axes[0], results, "p50_ms", "p50, ms")
    _draw_latency(axes[1], results, "p99_ms", "p99, ms")
    _draw_back(axes[2], results)
    figure.suptitle(
        f"{len(results.switches)} switches at {results.connections} connections:"
        f" {results.requests:,} right answers, {results.failed} failed; {results.at}"
    )
    figure.savefig(sys.argv[2], dpi=110)


def _draw_latency(axes: Axes, results: Results, measure: str, title: str) -> None:
    """Draw a measure of every switch's window, and of its control."""
    for kind, colour, name in (
        ("control", _CONTROL, "idle-priority control"),
        ("window", _OURS, "switch"),
    ):
        values = sorted(results.values(kind, measure))
        shares = [(place + 1) / len(values) for place in range(len(values))]
        axes.step(values, shares, where="post", color=colour, label=name)
    axes.set_title(
        f"{title}, by window; median ratio {results.ratio(measure):.2f}", fontsize=10
    )
    axes.set_ylabel("share of the windows", fontsize=8)
    # A few windows took twenty times as long as the others, in both.
    axes.set_xscale("log")
    axes.legend(fontsize=8, loc="lower right")
    _tidy(axes)


def _draw_back(axes: Axes, results: Results) -> None:
    """Draw how long it took until the former release answered."""
    for place, times in enumerate(results.rolled_back_s.values()):
        times_ms = [took_s * 1000.0 for took_s in times]
        axes.scatter(times_ms, [place] * len(times), color=_OURS, s=14)
    axes.axvline(_LIMIT_MS, color=_CONTROL, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(results.rolled_back_s)), list(results.rolled_back_s))
    axes.set_xscale("log")
    axes.set_xlim(left=1.0)
    axes.margins(y=0.4)
    axes.set_title("back: ms to the former release's answer", fontsize=10)
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")


if __name__ == "__main__":
    main()
