"""The fleet's costs as a table."""

import json
from collections.abc import Mapping, Sequence

from bench.marks import Marks
from bench.report import table

MARKS = Marks("<!-- fleet -->", "<!-- /fleet -->")

_REPORTS = "reports"


def write_document(lines: str) -> str:
    """Return the table of a run.

    Args:
        lines: Its rows, one JSON object a line.
    """
    rows = [json.loads(line) for line in lines.splitlines()]
    header = (
        "gateways",
        "what happens",
        "requests a gateway",
        "bytes of bodies",
        "bytes received, with heads",
        "bytes sent",
        "reports",
        "CPU ms a gateway",
        "all done in",
    )
    return table(header, map(_cells, rows)) + "\n"


def per_gateway(row: Mapping[str, object], index: int, *, reports: bool) -> float:
    """Return a count of a row, by gateway.

    Args:
        row: One of a run.
        index: 0 requests, 1 bytes from the gateway, 2 bytes to it, 3 those in bodies.
        reports: Of the reports, or of all else.
    """
    counts, size = row["counts"], row["size"]
    assert isinstance(counts, dict)  # noqa: S101 - our own file
    assert isinstance(size, int)  # noqa: S101 - our own file
    found = [c[index] for kind, c in counts.items() if (kind == _REPORTS) == reports]
    return float(sum(found)) / size


def _cells(row: Mapping[str, object]) -> Sequence[str]:
    size, cpu_s, took_s = row["size"], row["cpu_s"], row["took_s"]
    assert isinstance(size, int)  # noqa: S101 - our own file
    assert isinstance(cpu_s, float)  # noqa: S101 - our own file
    return (
        f"{size:,}",
        str(row["chapter"]),
        f"{per_gateway(row, 0, reports=False):.2f}",
        f"{per_gateway(row, 3, reports=False):,.0f}",
        f"{per_gateway(row, 2, reports=False):,.0f}",
        f"{per_gateway(row, 1, reports=False):,.0f}",
        f"{per_gateway(row, 0, reports=True):.2f}",
        f"{cpu_s / size * 1000:.1f}",
        f"{took_s:.0f} s",
    )
