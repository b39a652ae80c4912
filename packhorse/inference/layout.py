"""The shape of one tensor of a request, checked against what the model takes."""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from packhorse.errors import LimitExceededError, TensorError
from packhorse.inference.datatypes import numpy_type
from packhorse.manifest import DIMENSIONS_MAX, TensorSpec

ELEMENTS_MAX = 64 * 1024**2
"""Elements of one tensor: no body within the server's limit can hold more."""

TEXTS_MAX = 1024**2
"""Elements of a tensor of text: each is an object of 50 bytes and more."""

PACKED_MAX = 2048
"""Elements that `struct` packs: of longer lists numpy makes arrays sooner."""

_KINDS: dict[str, frozenset[type]] = {
    "b": frozenset({bool}),
    "u": frozenset({int}),
    "i": frozenset({int}),
    "f": frozenset({int, float}),
    "V": frozenset({int, float}),
    "O": frozenset({str}),
}
"""Python's types for JSON's, by numpy's kind; BF16 is "V" to numpy."""

_CODES = {
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
"""What `struct` calls the types that it can pack, in standard sizes."""

Pack = Callable[..., bytes]


@dataclass(frozen=True, slots=True)
class Layout:
    """One tensor of a request before its elements are read.

    Attributes:
        shape: Of the array; no axis is free.
        count: How many elements that is.
        size_bytes: How many bytes they take raw, unless they are text.
        dtype: Of the array.
        kinds: Python's types that its JSON elements may have.
        pack: Packs the elements into the array's bytes, refusing what does not
            fit; None where that is not the fastest way.
    """

    spec: TensorSpec
    shape: tuple[int, ...]
    count: int
    size_bytes: int
    dtype: np.dtype
    kinds: frozenset[type]
    pack: Pack | None


def make_layout(spec: TensorSpec, shape: Sequence[int]) -> Layout:
    """Describe a tensor of `shape`, which `check_shape` returned."""
    dtype = numpy_type(spec.datatype)
    count = math.prod(shape)
    return Layout(
        spec=spec,
        shape=tuple(shape),
        count=count,
        size_bytes=count * dtype.itemsize,
        dtype=dtype,
        kinds=_KINDS[dtype.kind],
        pack=_packer(spec.datatype, count),
    )


def check_shape(spec: TensorSpec, shape: object) -> tuple[int, ...]:
    """Return the request's shape when the model's input can have it.

    Raises:
        TensorError: It is no shape, or contradicts what the model declares.
        LimitExceededError: It asks for more elements than `ELEMENTS_MAX`, or than
            `TEXTS_MAX` of text.
    """
    if not isinstance(shape, list) or len(shape) > DIMENSIONS_MAX:
        raise TensorError(
            f"input {spec.name!r}: the shape must be a list of at most"
            f" {DIMENSIONS_MAX} lengths, came {short(shape)}"
        )
    for axis in shape:
        if type(axis) is not int or axis < 0:
            raise TensorError(
                f"input {spec.name!r}: a shape holds lengths of 0 or more,"
                f" came {short(axis)}"
            )
    if not fits(spec, shape):
        raise TensorError(
            f"input {spec.name!r}: expected the shape {describe_shape(spec.shape)},"
            f" came {shape}"
        )
    limit = TEXTS_MAX if spec.datatype == "BYTES" else ELEMENTS_MAX
    # Of an empty tensor too: numpy and ONNX Runtime multiply the other axes.
    if math.prod(axis for axis in shape if axis) > limit:
        raise LimitExceededError(
            f"input {spec.name!r}: at most {limit} elements of {spec.datatype},"
            f" came {shape}"
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


def short(value: object) -> str:
    """Write a JSON value for a sentence, cut short; containers by kind only."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (str, float)):
        return repr(value[:40] if isinstance(value, str) else value)
    if isinstance(value, int):
        # The digits of a huge integer would take long to write.
        return str(value) if abs(value) < 10**40 else "a huge integer"
    return "an object" if isinstance(value, dict) else "a list"


def _packer(datatype: str, count: int) -> Pack | None:
    """Return what packs `count` elements, where `struct` knows the type."""
    code = _CODES.get(datatype)
    if code is None or count > PACKED_MAX:
        return None
    return struct.Struct(f"<{count}{code}").pack
