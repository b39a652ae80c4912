"""Golden samples: inputs with the outputs that a release must give for them.

They travel as an npz archive. Axis 0 of every array is the sample axis and
stands where the model has its batch axis: sample i is `array[i:i+1]`. Nothing
in the archive is believed before it is checked: no pickles, and a cap on what
every member says that it holds and on what it really holds.

Source: docs/protocol.md, 3 "Golden samples"
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from packhorse.errors import MalformedError
from packhorse.inference.datatypes import NUMPY_TYPES, numpy_type
from packhorse.inference.signature import Arrays
from packhorse.manifest import TensorSpec, Tolerance
from packhorse.npz import read_arrays, write_arrays

GOLDEN_MAX_BYTES = 64 * 1024**2
"""Unpacked. A gateway runs all of it before each switch: keep it small."""
SAMPLES_MAX = 1024
DEFAULT_TOLERANCE = Tolerance(absolute=1e-4, relative=1e-3)
"""Room for what processors and versions of ONNX Runtime differ by in fp32."""

_PREFIXES = ("input.", "output.")


@dataclass(frozen=True, slots=True)
class GoldenSamples:
    """Inputs, and the outputs that belong to them.

    Attributes:
        inputs: Arrays by input name, each of shape (samples, ...).
        outputs: Arrays by output name, each of shape (samples, ...).
    """

    inputs: Arrays
    outputs: Arrays

    def __post_init__(self) -> None:
        """Refuse samples without inputs, outputs or a common count."""
        if not self.inputs or not self.outputs:
            raise MalformedError(
                "golden samples need arrays named input.<name> and output.<name>"
            )
        arrays = {**self.inputs, **self.outputs}
        counts = {a.shape[0] if a.ndim else 0 for a in arrays.values()}
        if len(counts) != 1 or not 1 <= min(counts) <= SAMPLES_MAX:
            raise MalformedError(
                "every golden array must have the same number of samples on axis 0, "
                f"1..{SAMPLES_MAX}; these have {sorted(counts)}"
            )

    @property
    def count(self) -> int:
        """Return how many samples there are."""
        return int(next(iter(self.inputs.values())).shape[0])

    def sample_inputs(self, index: int) -> dict[str, np.ndarray]:
        """Return one sample's inputs, each of shape (1, ...)."""
        return {name: a[index : index + 1] for name, a in self.inputs.items()}


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


def read_golden(
    stream: BinaryIO, *, limit_bytes: int = GOLDEN_MAX_BYTES
) -> GoldenSamples:
    """Read golden samples from an npz archive.

    Args:
        stream: Read to its end, at most `limit_bytes` of it.
        limit_bytes: Cap on the archive and on what it unpacks to, in bytes.

    Raises:
        LimitExceededError: It holds, or says that it holds, more.
        MalformedError: It is no such archive, or holds pickled objects.
    """
    arrays = read_arrays(stream, limit_bytes=limit_bytes)
    strange = [name for name in arrays if not name.startswith(_PREFIXES)]
    if strange:
        raise MalformedError(
            "golden arrays are named input.<name> and output.<name>, "
            f"not {strange[0][:80]!r}"
        )
    return GoldenSamples(
        inputs=_with_prefix(arrays, "input."), outputs=_with_prefix(arrays, "output.")
    )


def write_golden(samples: GoldenSamples) -> bytes:
    """Write golden samples as npz: stored, sorted, undated, so always the same."""
    arrays = {f"input.{name}": array for name, array in samples.inputs.items()}
    arrays |= {f"output.{name}": array for name, array in samples.outputs.items()}
    return write_arrays(arrays)


def check_golden(
    samples: GoldenSamples,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> None:
    """Refuse golden samples that are not of this model.

    Raises:
        MalformedError: A tensor is missing, unknown, or of another type or shape;
            or a golden output is not finite.
    """
    _check_side("input", samples.inputs, inputs)
    _check_side("output", samples.outputs, outputs)
    for name, array in samples.outputs.items():
        if not _is_finite(array):
            raise MalformedError(
                f"golden output {name!r} holds NaN or infinity; a model that answers "
                "so on its own samples cannot be released"
            )


def as_declared(array: np.ndarray, spec: TensorSpec | None) -> np.ndarray:
    """Return a golden array in the type that a model's tensor has.

    An npz archive has no text but that of fixed width, and no BF16 but two bytes
    without a meaning. Any other array stays as it is.

    Raises:
        MalformedError: It holds bytes that are not UTF-8, for a tensor of text.
    """
    if spec is None:
        return array
    if spec.datatype == "BYTES" and array.dtype.kind in "US":
        return _as_text(array)
    if spec.datatype == "BF16" and array.dtype == np.dtype("V2"):
        return array.view(numpy_type("BF16"))
    return array


def compare_outputs(
    expected: Arrays, got: Arrays, tolerances: Mapping[str, Tolerance]
) -> Comparison:
    """Compare outputs with the golden ones, each within its tolerance."""
    differences: dict[str, float] = {}
    reasons = []
    for name, golden in expected.items():
        tolerance = tolerances.get(name, DEFAULT_TOLERANCE)
        difference, reason = _compare(name, golden, got.get(name), tolerance)
        differences[name] = difference
        if reason:
            reasons.append(reason)
    return Comparison(differences, "; ".join(reasons))


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
    if not _is_finite(got):
        return math.inf, f"output {name!r} is not finite (NaN or infinity)"
    if golden.dtype.kind not in "fiu" and not _is_float(golden):
        return _compare_exactly(name, golden, got)
    difference = np.abs(got.astype(np.float64) - golden.astype(np.float64))
    allowed = tolerance.absolute + tolerance.relative * np.abs(golden.astype(float))
    largest = float(difference.max(initial=0.0))
    if bool((difference <= allowed).all()):
        return largest, ""
    return largest, (
        f"output {name!r} differs by {largest:.3g}, allowed are {tolerance.absolute:g} "
        f"and {tolerance.relative:g} of the golden value"
    )


def _compare_exactly(
    name: str, golden: np.ndarray, got: np.ndarray
) -> tuple[float, str]:
    if bool((golden == got).all()):
        return 0.0, ""
    return math.inf, f"output {name!r} is not the golden one"


def _check_side(side: str, arrays: Arrays, specs: Sequence[TensorSpec]) -> None:
    names = {spec.name for spec in specs}
    if set(arrays) != names:
        raise MalformedError(
            f"golden {side}s must be those of the model, {sorted(names)}, "
            f"not {sorted(arrays)}"
        )
    for spec in specs:
        _check_array(side, arrays[spec.name], spec)


def _check_array(side: str, array: np.ndarray, spec: TensorSpec) -> None:
    expected = NUMPY_TYPES.get(spec.datatype)
    # Text has no place in an npz archive: numpy would keep it as Python objects.
    if expected is None or expected.hasobject or array.dtype != expected:
        raise MalformedError(
            f"golden {side} {spec.name!r} must be {spec.datatype}, "
            f"not {array.dtype.name}"
        )
    axes = spec.shape[1:]
    fits = array.ndim == len(spec.shape) and all(
        want in (-1, have) for want, have in zip(axes, array.shape[1:], strict=True)
    )
    if not fits:
        raise MalformedError(
            f"golden {side} {spec.name!r} must have the shape (samples, "
            f"{', '.join('any' if a == -1 else str(a) for a in axes)}), "
            f"not {array.shape}"
        )


def _as_text(array: np.ndarray) -> np.ndarray:
    """Return fixed-width text or bytes as an array of Python's strings."""
    try:
        text = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeDecodeError as error:
        raise MalformedError("golden text must be UTF-8") from error
    return text.astype(np.object_)


def _with_prefix(arrays: Arrays, prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _is_finite(array: np.ndarray) -> bool:
    return not _is_float(array) or bool(np.isfinite(array).all())


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"
