"""Compare the candidate's answer with the live one: by outputs, or else as it is.

Ids, names and versions in an answer are no outputs. Where both answers say that
something is no number, they agree in that.

Imports numpy: `shadow.py` imports this in a thread when the first is due.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from functions.adapters.upstream.client import Answer
from functions.prediction.body_tensors import decode_tensors
from packhorse.comparison import compare_outputs, is_float
from packhorse.errors import TensorError
from packhorse.inference.signature import Arrays
from packhorse.tolerance import Tolerance, tolerances_on

ARCHITECTURE = "x86_64"
"""What Vertex AI's machines are; tolerances may name it."""

REASON_MAX = 300

UNNAMED = "predictions"

_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a comparison found.

    Attributes:
        reason: Why they do not agree; empty where they do.
        largest_difference: Between two numbers of one output; None where no
            numbers were compared, or it is infinite.
    """

    reason: str = ""
    largest_difference: float | None = None

    @property
    def agrees(self) -> bool:
        """Say whether both answered alike."""
        return not self.reason


def compare_answers(
    live: Answer, shadow: Answer, tolerances: Mapping[str, Tolerance]
) -> Agreement:
    """Compare two answers to one request.

    Args:
        live: What the caller got.
        shadow: What the candidate answered.
        tolerances: By output. Predictions do not name a model's only output: where
            there is one tolerance, it is that output's.
    """
    if live.status != shadow.status:
        return Agreement(f"it answered {shadow.status}, the live one {live.status}")
    if live.status not in _OK:
        # Both refuse the request; each in words of its own.
        return Agreement()
    if live.body == shadow.body and _type(live) == _type(shadow):
        return Agreement(largest_difference=0.0)
    expected, got = _outputs(live), _outputs(shadow)
    if expected is None or got is None:
        is_same = live.body == shadow.body
        return Agreement("" if is_same else "the bodies differ, and hold no tensors")
    if UNNAMED in expected and len(tolerances) == 1:
        tolerances = {UNNAMED: next(iter(tolerances.values()))}
    return _compare(expected, got, tolerances)


def _compare(
    expected: Arrays, got: Arrays, tolerances: Mapping[str, Tolerance]
) -> Agreement:
    alike = {name: _without_gaps(expected.get(name), a) for name, a in got.items()}
    whole = {name: _filled(a, alike.get(name)) for name, a in expected.items()}
    candidates = {name: _filled(a, alike[name]) for name, a in got.items()}
    found = compare_outputs(whole, candidates, tolerances_on(ARCHITECTURE, tolerances))
    largest = max(found.largest_difference.values(), default=0.0)
    return Agreement(
        found.reason.replace("golden", "live")[:REASON_MAX],
        largest if np.isfinite(largest) else None,
    )


def _without_gaps(live: np.ndarray | None, shadow: np.ndarray) -> np.ndarray | None:
    """Mark where both are the same and no number; None where nothing is."""
    if live is None or live.shape != shadow.shape:
        return None
    if not (is_float(live) and is_float(shadow)):
        return None
    live, shadow = live.astype(np.float64), shadow.astype(np.float64)
    same = (live == shadow) | (np.isnan(live) & np.isnan(shadow))
    gaps: np.ndarray = same & ~np.isfinite(live)
    return gaps if gaps.any() else None


def _filled(array: np.ndarray, gaps: np.ndarray | None) -> np.ndarray:
    return array if gaps is None else np.where(gaps, 0, array)


def _outputs(answer: Answer) -> Arrays | None:
    if "content-encoding" in answer.headers:
        return None
    try:
        return decode_tensors(answer.body, _type(answer))
    except TensorError:
        return None


def _type(answer: Answer) -> str:
    return answer.headers.get("content-type", "")
