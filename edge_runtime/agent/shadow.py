"""Compare a candidate with the active release on requests that really came.

The worker that serves has kept the last few requests with its answers. The
candidate answers them again, where nobody sees it. What it must not do is fail,
or answer NaN or infinity, where the active release answered with numbers; how
often both agree is measured and told, not judged.
"""

import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_runtime.errors import ModelError
from packhorse.golden import compare_outputs
from packhorse.inference.signature import Arrays
from packhorse.manifest import Tolerance

Run = Callable[[Arrays, Sequence[str]], Arrays]
"""Runs the candidate: inputs, names of the outputs to compute."""

RECENT_MAX_BYTES = 256 * 1024**2
"""Thirty-two requests; the child that reads them has a memory limit besides."""

RECENT_MAX = 32

_NAME = re.compile(r"i\.([0-9]{1,4})\.(input|output)\.(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """One request that the active release has answered."""

    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shadow:
    """What became of the live requests.

    Attributes:
        reason: Why the candidate must be refused, a sentence; empty if it need not.
        measures: Numbers for the report.
    """

    reason: str
    measures: Mapping[str, float]


def read_recent(path: Path) -> list[LiveRequest]:
    """Read live requests, the oldest first; none where they cannot be read.

    Our own worker wrote them, so what is wrong with them is not the candidate's
    fault and must not refuse it.

    Source: edge_runtime/recent.py, `RecentExchanges.save`
    """
    try:
        with path.open("rb") as file:
            body = file.read(RECENT_MAX_BYTES + 1)
        if len(body) <= RECENT_MAX_BYTES:
            return _read_archive(body)
    except (OSError, ValueError, zipfile.BadZipFile):
        pass
    return []


def _read_archive(body: bytes) -> list[LiveRequest]:
    found: dict[int, LiveRequest] = {}
    with np.load(io.BytesIO(body), allow_pickle=False) as archive:
        for match in filter(None, map(_NAME.fullmatch, archive.files)):
            request = found.setdefault(int(match[1]), LiveRequest())
            side = request.inputs if match[2] == "input" else request.outputs
            side[match[3]] = archive[match[0]]
    return [found[index] for index in sorted(found)][-RECENT_MAX:]


def run_shadow(
    requests: Sequence[LiveRequest], run: Run, tolerances: Mapping[str, Tolerance]
) -> Shadow:
    """Answer `requests` with the candidate and compare."""
    failed = agreeing = 0
    broken: dict[str, int] = {}
    for request in requests:
        try:
            got = run(request.inputs, list(request.outputs))
        except ModelError:
            failed += 1
            continue
        names = _not_finite(request.outputs, got)
        for name in names:
            broken[name] = broken.get(name, 0) + 1
        agreeing += not names and _agrees(request.outputs, got, tolerances)
    measures = {"shadow_requests": float(len(requests))}
    if requests:
        measures["shadow_agreement"] = agreeing / len(requests)
    return Shadow(_reason(failed, broken, len(requests)), measures)


def _not_finite(expected: Arrays, got: Arrays) -> list[str]:
    """Name the outputs that were finite and are not any more."""
    return [
        name
        for name, array in expected.items()
        if name in got and _is_finite(array) and not _is_finite(got[name])
    ]


def _agrees(expected: Arrays, got: Arrays, tolerances: Mapping[str, Tolerance]) -> bool:
    """Say whether the candidate answers what the active release answered."""
    return all(
        name in got and _is_same(name, array, got[name], tolerances)
        for name, array in expected.items()
    )


def _is_same(
    name: str,
    expected: np.ndarray,
    got: np.ndarray,
    tolerances: Mapping[str, Tolerance],
) -> bool:
    """Compare scores by who wins on the last axis, all else by its values."""
    if expected.shape != got.shape:
        return False
    if _is_score(expected):
        return bool((expected.argmax(axis=-1) == got.argmax(axis=-1)).all())
    return compare_outputs({name: expected}, {name: got}, tolerances).agrees


def _is_score(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and array.ndim > 1 and array.shape[-1] > 1


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _reason(failed: int, broken: Mapping[str, int], count: int) -> str:
    parts = [
        f"output {name!r} was not finite (NaN or infinity) on {times} of {count}"
        " live requests that the active release answered with finite numbers"
        for name, times in sorted(broken.items())
    ]
    if failed:
        parts.append(f"{failed} of {count} live requests could not be run")
    return "; ".join(parts)
