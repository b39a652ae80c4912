"""Compare outputs with those that they should be, or with those of another release.

Numbers are compared within a tolerance, everything else must be the same. What
should be finite and is not never agrees. On live requests nobody knows the right
answer: a better release has other scores, so there it counts who wins.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from packhorse.errors import MalformedError
from packhorse.inference.signature import Arrays
from packhorse.manifest import TensorSpec
from packhorse.tolerance import DEFAULT_TOLERANCE, Tolerance

_WITHOUT_GREATEST = frozenset({"BYTES", "BOOL"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far outputs lie from the golden ones.

    Attributes:
        largest_difference: Largest absolute difference by output; infinite where
            shapes differ or a value is not finite.
        reason: Why they disagree, a sentence; empty when they agree.
    """

    largest_difference: Mapping[str, float]
    reason: str = ""

    @property
    def agrees(self) -> bool:
        """Say whether every output lies within its tolerance."""
        return not self.reason


def compare_outputs(
    expected: Arrays, got: Arrays, tolerances: Mapping[str, Tolerance]
) -> Comparison:
    """Compare outputs with the golden ones, each within its tolerance.

    Args:
        expected: The golden outputs by name.
        got: What a model gave.
        tolerances: By output, as they hold on the machine that gave it.
    """
    differences: dict[str, float] = {}
    reasons = []
    for name, golden in expected.items():
        tolerance = tolerances.get(name, DEFAULT_TOLERANCE)
        difference, reason = _compare(name, golden, got.get(name), tolerance)
        differences[name] = difference
        if reason:
            reasons.append(reason)
    return Comparison(differences, "; ".join(reasons))


def compare_live(
    expected: Arrays, got: Arrays, tolerances: Mapping[str, Tolerance]
) -> Comparison:
    """Compare what two releases answered to one live request.

    An output with a tolerance of its own is held to it, like a golden one. Without
    one, scores agree where the same element wins in each row, and all else within
    the default. Where both are the same NaN or infinity, they agree in that.

    Args:
        expected: What the live release answered, by name.
        got: What the other one did.
        tolerances: By output, as they hold on the machine that gave it.
    """
    differences: dict[str, float] = {}
    reasons = []
    for name, live in expected.items():
        found = _compare_live(name, live, got.get(name), tolerances.get(name))
        differences[name] = found[0]
        if found[1]:
            reasons.append(found[1])
    return Comparison(differences, "; ".join(reasons))


def are_scores(array: np.ndarray) -> bool:
    """Say whether an output is rows of scores: floats, and two or more in a row."""
    return is_float(array) and array.ndim > 1 and array.shape[-1] > 1


def check_tolerances(
    tolerances: Mapping[str, Tolerance], outputs: Sequence[TensorSpec]
) -> None:
    """Refuse tolerances that are of no output of a model, or make no sense for it.

    Raises:
        MalformedError: One does.
    """
    datatypes = {spec.name: spec.datatype for spec in outputs}
    for name, tolerance in tolerances.items():
        if name not in datatypes:
            raise MalformedError(
                f"a tolerance must name an output of the model, {sorted(datatypes)}, "
                f"not {name[:80]!r}"
            )
        every = (tolerance, *tolerance.architectures.values())
        has_margin = any(one.argmax_margin is not None for one in every)
        if has_margin and datatypes[name] in _WITHOUT_GREATEST:
            raise MalformedError(
                f"an argmax margin needs an output of numbers, and {name[:80]!r} "
                f"is {datatypes[name]}"
            )


def count_flips(golden: np.ndarray, got: np.ndarray, margin: float) -> int:
    """Count the rows in which another element is the greatest, and it matters.

    Args:
        golden: Scores; a row is its last axis.
        got: Of the same shape.
        margin: It does not matter where the two golden values lie no further apart.
    """
    if golden.ndim == 0 or golden.size == 0:
        return 0
    scores, others = golden.astype(np.float64), got.astype(np.float64)
    first = scores.argmax(axis=-1, keepdims=True)
    other = others.argmax(axis=-1, keepdims=True)
    at_first = np.take_along_axis(scores, first, axis=-1)
    at_other = np.take_along_axis(scores, other, axis=-1)
    with np.errstate(invalid="ignore"):
        is_close = at_first - at_other <= margin
    return int(((first != other) & ~is_close).sum())


def is_finite(array: np.ndarray) -> bool:
    """Say whether no element is NaN or infinite; text and integers never are."""
    return not is_float(array) or bool(np.isfinite(array).all())


def is_float(array: np.ndarray) -> bool:
    """Say whether the elements are floats, of any width."""
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def _compare(
    name: str, golden: np.ndarray, got: np.ndarray | None, tolerance: Tolerance
) -> tuple[float, str]:
    if got is None:
        return math.inf, f"output {name!r} is missing"
    if got.shape != golden.shape:
        return (
            math.inf,
            f"output {name!r} has the shape {got.shape}, expected {golden.shape}",
        )
    if not is_finite(got):
        return math.inf, f"output {name!r} is not finite (NaN or infinity)"
    if not _is_number(golden) or not _is_number(got):
        return _compare_exactly(name, golden, got)
    return _compare_numbers(name, golden, got, tolerance)


def _compare_numbers(
    name: str, golden: np.ndarray, got: np.ndarray, tolerance: Tolerance
) -> tuple[float, str]:
    exact = golden.astype(np.float64)
    difference = np.abs(got.astype(np.float64) - exact)
    allowed = tolerance.absolute + tolerance.relative * np.abs(exact)
    largest = float(difference.max(initial=0.0))
    if not bool((difference <= allowed).all()):
        return largest, (
            f"output {name!r} differs by {largest:.3g}, allowed are "
            f"{tolerance.absolute:g} and {tolerance.relative:g} of the golden value"
        )
    margin = tolerance.argmax_margin
    if margin is not None:
        return largest, _flipped(name, golden, got, margin)
    return largest, ""


def _flipped(name: str, golden: np.ndarray, got: np.ndarray, margin: float) -> str:
    """Say in how many rows another element wins; empty where in none."""
    flips = count_flips(golden, got, margin)
    if not flips:
        return ""
    return (
        f"output {name!r} has another greatest element in {flips} of "
        f"{golden.size // golden.shape[-1]} rows, where the golden one led by "
        f"more than {margin:g}"
    )


def _compare_live(
    name: str, live: np.ndarray, got: np.ndarray | None, tolerance: Tolerance | None
) -> tuple[float, str]:
    if got is None or got.shape != live.shape or not (is_float(live) and is_float(got)):
        return _compare(name, live, got, tolerance or DEFAULT_TOLERANCE)
    exact, other = live.astype(np.float64), got.astype(np.float64)
    same = (exact == other) | (np.isnan(exact) & np.isnan(other))
    gaps = same & ~np.isfinite(exact)
    known, found = np.where(gaps, 0.0, exact), np.where(gaps, 0.0, other)
    if tolerance is not None or not are_scores(live):
        return _compare(name, known, found, tolerance or DEFAULT_TOLERANCE)
    return _compare_winners(name, (exact, other), (known, found))


def _compare_winners(
    name: str,
    scores: tuple[np.ndarray, np.ndarray],
    finite: tuple[np.ndarray, np.ndarray],
) -> tuple[float, str]:
    """Compare scores by who wins in each row.

    Args:
        name: Of the output.
        scores: The live ones, and the others.
        finite: The same, 0 where both are the same and no number.
    """
    if not (is_finite(finite[0]) and is_finite(finite[1])):
        return math.inf, f"output {name!r} is finite (no NaN or infinity) on one side"
    largest = float(np.abs(finite[1] - finite[0]).max(initial=0.0))
    # What is no number wins nowhere, and infinity where it stands.
    live, got = (np.where(np.isnan(one), -np.inf, one) for one in scores)
    return largest, _flipped(name, live, got, 0.0)


def _compare_exactly(
    name: str, golden: np.ndarray, got: np.ndarray
) -> tuple[float, str]:
    if bool(np.all(golden == got)):
        return 0.0, ""
    return math.inf, f"output {name!r} is not the golden one"


def _is_number(array: np.ndarray) -> bool:
    return array.dtype.kind in "fiu" or is_float(array)
