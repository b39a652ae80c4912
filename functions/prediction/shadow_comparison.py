"""Compare the candidate's answer with the live one: by outputs, or else as it is.

Ids, names and versions in an answer are no outputs. How outputs are compared that
nobody named a tolerance for, says `packhorse/comparison.py`.

Imports numpy: `shadow.py` imports this in a thread when the first is due.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from functions.adapters.upstream.client import Answer
from functions.prediction.body_tensors import decode_tensors
from packhorse.comparison import compare_live
from packhorse.errors import TensorError
from packhorse.inference.signature import Arrays
from packhorse.tolerance import DEFAULT_TOLERANCE, Tolerance, tolerances_on

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
    named = tolerances_on(ARCHITECTURE, tolerances)
    whole = [name for name, array in expected.items() if _are_whole(array, got, name)]
    found = compare_live(expected, got, dict.fromkeys(whole, DEFAULT_TOLERANCE) | named)
    largest = max(found.largest_difference.values(), default=0.0)
    return Agreement(
        found.reason.replace("golden", "live")[:REASON_MAX],
        largest if np.isfinite(largest) else None,
    )


def _are_whole(live: np.ndarray, answers: Arrays, name: str) -> bool:
    """Say whether both are whole numbers in double precision: ids, and no scores.

    The JSON of predictions does not say which numbers are integers.
    """
    both = (live, answers.get(name, live))
    return all(
        one.dtype == np.float64 and bool((np.floor(one) == one).all()) for one in both
    )


def _outputs(answer: Answer) -> Arrays | None:
    if "content-encoding" in answer.headers:
        return None
    try:
        return decode_tensors(answer.body, _type(answer))
    except TensorError:
        return None


def _type(answer: Answer) -> str:
    return answer.headers.get("content-type", "")
