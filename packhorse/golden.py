"""Golden samples: inputs with the outputs that a release must give for them.

They travel as an npz archive. Axis 0 of every array is the sample axis and
stands where the model has its batch axis: sample i is `array[i:i+1]`. Nothing
in the archive is believed before it is checked: no pickles, and a cap on what
every member says that it holds and on what it really holds. What numpy has no
portable form for becomes what the model takes: text of fixed width Python's
strings, and two bytes without a meaning BF16.

Source: docs/protocol.md, 3 "Golden samples"
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from packhorse.comparison import is_finite
from packhorse.errors import LimitExceededError, MalformedError
from packhorse.inference.datatypes import numpy_type
from packhorse.inference.layout import TEXTS_MAX
from packhorse.inference.signature import Arrays
from packhorse.manifest import TensorSpec
from packhorse.npz import read_arrays, write_arrays

GOLDEN_MAX_BYTES = 64 * 1024**2
"""Unpacked. A gateway runs all of it before each switch: keep it small."""
SAMPLES_MAX = 1024

_BF16_NAME = "bfloat16"
_HALF = np.dtype("V2")
"""What numpy keeps of BF16, which it does not know."""

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
    return write_arrays({name: _as_stored(array) for name, array in arrays.items()})


def check_golden(
    samples: GoldenSamples,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> GoldenSamples:
    """Return golden samples in the types of this model; refuse those of another.

    Raises:
        MalformedError: A tensor is missing, unknown, or of another type or shape;
            or a golden output is not finite.
    """
    declared = GoldenSamples(
        _check_side("input", samples.inputs, inputs),
        _check_side("output", samples.outputs, outputs),
    )
    for name, array in declared.outputs.items():
        if not is_finite(array):
            raise MalformedError(
                f"golden output {name!r} holds NaN or infinity; a model that answers "
                "so on its own samples cannot be released"
            )
    return declared


def as_declared(array: np.ndarray, spec: TensorSpec | None) -> np.ndarray:
    """Return a golden array in the type that a model's tensor has.

    An npz archive has no text but that of fixed width, and no BF16 but two bytes
    without a meaning. Any other array stays as it is.

    Raises:
        MalformedError: It holds bytes that are not UTF-8, for a tensor of text.
        LimitExceededError: It holds more texts than a request may.
    """
    if spec is None:
        return array
    if spec.datatype == "BYTES" and array.dtype.kind in "US":
        return _as_text(array)
    if spec.datatype == "BF16" and array.dtype == _HALF:
        return array.view(numpy_type("BF16"))
    return array


def _check_side(
    side: str, arrays: Arrays, specs: Sequence[TensorSpec]
) -> dict[str, np.ndarray]:
    names = {spec.name for spec in specs}
    if set(arrays) != names:
        raise MalformedError(
            f"golden {side}s must be those of the model, {sorted(names)}, "
            f"not {sorted(arrays)}"
        )
    return {spec.name: _check_array(side, arrays[spec.name], spec) for spec in specs}


def _check_array(side: str, array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    declared = as_declared(array, spec)
    if declared.dtype != numpy_type(spec.datatype):
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
    return declared


def _as_text(array: np.ndarray) -> np.ndarray:
    """Return fixed-width text or bytes as an array of Python's strings."""
    if array.size > TEXTS_MAX:
        raise LimitExceededError(
            f"golden text may have {TEXTS_MAX} elements, this one has {array.size}"
        )
    texts = np.empty(array.size, np.object_)
    try:
        texts[:] = [_utf8(text) for text in array.ravel().tolist()]
    except (ValueError, SystemError) as error:
        # Bytes that are no UTF-8, half a surrogate; numbers beyond Unicode, for
        # which numpy's strings raise the latter.
        raise MalformedError("golden text must be UTF-8") from error
    return texts.reshape(array.shape)


def _utf8(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode()
    return raw.decode()


def _as_stored(array: np.ndarray) -> np.ndarray:
    """Return an array in a type that an npz archive holds without pickles.

    Raises:
        MalformedError: It holds text that ends with a zero character, which text
            of fixed width cannot say.
    """
    if array.dtype.name == _BF16_NAME:
        return np.ascontiguousarray(array).view(_HALF)
    if not array.dtype.hasobject:
        return array
    stored = array.astype(np.str_)
    if not bool(np.all(stored.astype(np.object_) == array)):
        raise MalformedError("golden text may not end with a zero character")
    return stored


def _with_prefix(arrays: Arrays, prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
