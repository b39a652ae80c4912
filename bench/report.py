"""What every bench writes: where it ran, a table, and a picture."""

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.serving.venvs import make_venv

_ROOT = Path(__file__).resolve().parents[1]
_PLOT_S = 120


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are even, to be read as text too."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    written = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    rule = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in [written[0], rule, *written[1:]])


def draw(module: str, results: Path) -> Path:
    """Draw results beside them, in an environment that has Matplotlib.

    Args:
        module: What draws them: `python -m MODULE RESULTS PNG`.
        results: The file of a run.

    Returns:
        The picture.

    Raises:
        VenvError: The environment cannot be installed here.
    """
    results = results.absolute()
    picture = results.with_suffix(".png")
    programs = make_venv("plot", _ROOT / ".cache" / "bench" / "venvs")
    subprocess.run(  # noqa: S603 - our own module
        [programs / "python", "-m", module, results, picture],
        check=True,
        cwd=_ROOT,
        timeout=_PLOT_S,
    )
    return picture


def machine() -> str:
    """Return the processor, its cores and the system."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores of {processor}, {platform.platform(terse=True)}"
