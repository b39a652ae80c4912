"""Tensors as the protocols name them, and as numpy holds them.

Turns the numbers of a JSON request into an array of the type and shape that the
model declares, or says which tensor is wrong, what was expected and what came.
Nothing is converted silently: text is no number, true is no number, a fraction
is no integer, and what overflows its type is refused.

NaN and the infinities have no JSON. They are written as null, and null in a
request is refused.

Source: Open Inference Protocol, version 2, "Tensor Data" and "Tensor Data Types"
"""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType

import numpy as np

from packhorse.errors import LimitExceededError, TensorError
from packhorse.manifest import DIMENSIONS_MAX, TensorSpec

ELEMENTS_MAX = 64 * 1024**2
"""Elements of one tensor: no body within the server's limit can hold more."""

NUMPY_TYPES: Mapping[str, np.dtype] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "UINT8": np.dtype(np.uint8),
        "UINT16": np.dtype(np.uint16),
        "UINT32": np.dtype(np.uint32),
        "UINT64": np.dtype(np.uint64),
        "INT8": np.dtype(np.int8),
        "INT16": np.dtype(np.int16),
        "INT32": np.dtype(np.int32),
        "INT64": np.dtype(np.int64),
        "FP16": np.dtype(np.float16),
        "FP32": np.dtype(np.float32),
        "FP64": np.dtype(np.float64),
        "BYTES": np.dtype(np.object_),
    }
)
"""BF16 is missing: numpy has no such type, so no model with it is served."""

_WORDS = {dtype: word for word, dtype in NUMPY_TYPES.items()}
_ALLOWED: dict[str, frozenset[type]] = {
    "b": frozenset({bool}),
    "u": frozenset({int}),
    "i": frozenset({int}),
    "f": frozenset({int, float}),
    "O": frozenset({str}),
}
_KINDS = {
    "b": "true or false",
    "u": "integers",
    "i": "integers",
    "f": "numbers",
    "O": "text",
}


def datatype_of(array: np.ndarray) -> str:
    """Return the protocol's word for the array's type."""
    if array.dtype.kind in "US":
        return "BYTES"
    return _WORDS[array.dtype]


def decode_array(spec: TensorSpec, shape: Sequence[int], data: object) -> np.ndarray:
    """Turn JSON numbers into the array that a model's input takes.

    Args:
        spec: What the model declares.
        shape: What the request declares, already checked by `check_shape`.
        data: A flat list in row-major order, or lists nested as `shape` says.

    Raises:
        TensorError: The elements are too many, too few, or of another kind.
    """
    dtype = NUMPY_TYPES[spec.datatype]
    flat = _flatten(spec, shape, data)
    kinds = set(map(type, flat))
    if not kinds <= _ALLOWED[dtype.kind]:
        raise _wrong_kind(spec, flat, dtype)
    try:
        with np.errstate(over="raise"):
            return np.array(flat, dtype=dtype).reshape(shape)
    except (OverflowError, FloatingPointError) as error:
        raise TensorError(
            f"input {spec.name!r}: a number is too large for {spec.datatype}"
        ) from error


def check_shape(spec: TensorSpec, shape: object) -> tuple[int, ...]:
    """Return the request's shape when the model's input can have it.

    Raises:
        TensorError: It is no shape, or contradicts what the model declares.
        LimitExceededError: It asks for more than `ELEMENTS_MAX` elements.
    """
    if not isinstance(shape, list) or len(shape) > DIMENSIONS_MAX:
        raise TensorError(
            f"input {spec.name!r}: the shape must be a list of at most"
            f" {DIMENSIONS_MAX} lengths"
        )
    for axis in shape:
        if type(axis) is not int or axis < 0:
            raise TensorError(
                f"input {spec.name!r}: a shape holds lengths of 0 or more,"
                f" came {_short(axis)}"
            )
    if not fits(spec, shape):
        raise TensorError(
            f"input {spec.name!r}: expected the shape {describe_shape(spec.shape)},"
            f" came {shape}"
        )
    if math.prod(shape) > ELEMENTS_MAX:
        raise LimitExceededError(
            f"input {spec.name!r}: at most {ELEMENTS_MAX} elements, came {shape}"
        )
    return tuple(shape)


def fits(spec: TensorSpec, shape: Sequence[int]) -> bool:
    """Say whether an array of `shape` may be given as `spec`."""
    if len(shape) != len(spec.shape):
        return False
    return all(want in (-1, have) for want, have in zip(spec.shape, shape, strict=True))


def describe_shape(shape: Sequence[int]) -> str:
    """Write a shape for people: `[any, 4]`."""
    return f"[{', '.join('any' if axis == -1 else str(axis) for axis in shape)}]"


def _flatten(spec: TensorSpec, shape: Sequence[int], data: object) -> list[object]:
    """Return the elements in row-major order, as many as `shape` holds."""
    if not isinstance(data, list):
        raise TensorError(f"input {spec.name!r}: the data must be a list")
    flat: list[object] = data
    if flat and type(flat[0]) is list:
        flat = _unnest(spec, shape, flat)
    if len(flat) != math.prod(shape):
        raise TensorError(
            f"input {spec.name!r}: the shape {list(shape)} holds {math.prod(shape)}"
            f" elements, came {len(flat)}"
        )
    return flat


def _unnest(spec: TensorSpec, shape: Sequence[int], data: list[object]) -> list[object]:
    """Take one level of lists off after the other, comparing each length."""
    level = data
    expected = shape[0] if shape else 0
    for length in shape[1:]:
        if len(level) != expected:
            break
        rows = [row for row in level if type(row) is list and len(row) == length]
        if len(rows) != len(level):
            break
        level = list(chain.from_iterable(rows))
        expected = len(level)
    else:
        if len(level) == expected:
            return level
    raise TensorError(
        f"input {spec.name!r}: the nested lists must have the lengths {list(shape)}"
    )


def _wrong_kind(
    spec: TensorSpec, flat: Sequence[object], dtype: np.dtype
) -> TensorError:
    """Say which element is not of the input's kind."""
    allowed = _ALLOWED[dtype.kind]
    index, value = next((i, v) for i, v in enumerate(flat) if type(v) not in allowed)
    return TensorError(
        f"input {spec.name!r}: {spec.datatype} takes {_KINDS[dtype.kind]},"
        f" element {index} is {_short(value)}"
    )


def _short(value: object) -> str:
    """Write a JSON value for a sentence, cut short; containers by kind only."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text[:40]
