"""The elements of a tensor in JSON become the array that a model takes.

Or a sentence says which tensor is wrong, what was expected and what came.
Nothing is converted silently: text is no number, true is no number, a fraction
is no integer, and what overflows its type is refused.

NaN and the infinities have no JSON. They are written as null, and null in a
request is refused; the binary form carries both exactly.

Source: Open Inference Protocol, version 2, "Tensor Data" and "Tensor Data Types"
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Literal, Protocol, TypeGuard

import numpy as np

from packhorse.errors import TensorError
from packhorse.inference.layout import Layout, short

SEARCHED_MAX = 65_536
"""Elements looked through for the one to name in a sentence: about 5 ms."""

_JSON_TYPES = frozenset({list, dict, str, int, float, bool, type(None)})

_WIDE: Mapping[str, Literal["i", "u"]] = {"i": "i", "u": "u"}
"""How integers are read before they are narrowed, by numpy's kind."""

_KINDS = {
    "b": "true or false",
    "u": "integers",
    "i": "integers",
    "f": "numbers",
    "V": "numbers",
    "O": "text",
}


class Numbers(Protocol):
    """A JSON array that nobody turned into Python objects, as `json_body` makes.

    Attributes:
        lengths: Of the lists at each level, outermost first; None where lists of
            one level differ, or stand beside something else.
    """

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """Return the lengths of the nested lists."""

    def to_array(self, kind: Literal["d", "i", "u"]) -> np.ndarray:
        """Return all numbers in row-major order, as one axis.

        Args:
            kind: "d" for floats, "i" and "u" for signed and unsigned integers of
                64 bits.

        Raises:
            TypeError: An element is no such number.
            ValueError: An element does not fit.
        """

    def to_list(self) -> list[object]:
        """Return Python's objects, nested as they came."""

    def leaves(self) -> Iterator[object]:
        """Yield the elements in row-major order."""


def is_numbers(value: object) -> TypeGuard[Numbers]:
    """Say whether a value of a document is `Numbers`: it is when JSON has no such."""
    return type(value) not in _JSON_TYPES


def decode_array(layout: Layout, data: object) -> np.ndarray:
    """Turn JSON numbers into the array that a model's input takes.

    Args:
        layout: What the request says of the tensor, already checked.
        data: A flat list in row-major order, or lists nested as the shape says;
            or the same as `Numbers`.

    Raises:
        TensorError: The elements are too many, too few, or of another kind.
    """
    if type(data) is list:
        return _from_list(layout, data)
    if is_numbers(data):
        return _from_numbers(layout, data)
    raise TensorError(
        f"input {layout.spec.name!r}: the data must be a list, came {short(data)}"
    )


def _from_list(layout: Layout, data: list[object]) -> np.ndarray:
    """Make an array of Python's objects."""
    flat = data if len(data) == layout.count else _flatten(layout, data)
    if not layout.kinds.issuperset(map(type, flat)):
        # Lists in lists are flat only now, as with one row: [[1, 2]].
        flat = _flatten(layout, data)
        if not layout.kinds.issuperset(map(type, flat)):
            raise _wrong_kind(layout, flat)
    try:
        if layout.pack is not None:
            return np.ndarray(layout.shape, layout.dtype, layout.pack(*flat))
        if layout.dtype.kind in "fV":
            return _converted(layout, np.array(flat, dtype=np.float64))
        return np.array(flat, dtype=layout.dtype).reshape(layout.shape)
    except (struct.error, OverflowError) as error:
        raise _out_of_range(layout) from error


def _from_numbers(layout: Layout, data: Numbers) -> np.ndarray:
    """Make an array without Python's objects, but of text and truth."""
    lengths = data.lengths
    if lengths is None or not _agree(lengths, layout):
        raise _wrong_lengths(layout, lengths)
    if layout.dtype.kind in "bO":
        return _from_list(layout, data.to_list())
    try:
        flat = data.to_array(_WIDE.get(layout.dtype.kind, "d"))
    except TypeError as error:
        leaves = islice(data.leaves(), SEARCHED_MAX)
        raise _wrong_kind(layout, leaves) from error
    except ValueError as error:
        raise _out_of_range(layout) from error
    return _converted(layout, flat)


def _agree(lengths: tuple[int, ...], layout: Layout) -> bool:
    """Say whether the lists are flat, or nested as the shape says."""
    if lengths in (layout.shape, (layout.count,)):
        return True
    # Inside empty lists there are none that could show the axes that follow.
    return lengths[-1] == 0 and lengths == layout.shape[: len(lengths)]


def _converted(layout: Layout, flat: np.ndarray) -> np.ndarray:
    """Return the elements in the type that the model takes, where all fit."""
    dtype = layout.dtype
    if flat.dtype != dtype:
        if dtype.kind in "iu":
            return _narrowed(layout, flat).reshape(layout.shape)
        with np.errstate(over="ignore"):
            flat = flat.astype(dtype)
        # JSON has no infinity: where one is, a number was too large for the type.
        if not np.isfinite(flat).all():
            raise _out_of_range(layout)
    return flat.reshape(layout.shape)


def _narrowed(layout: Layout, flat: np.ndarray) -> np.ndarray:
    """Return 64-bit integers in a narrower type, where all fit."""
    limits = np.iinfo(layout.dtype)
    if flat.size and not limits.min <= int(flat.min()) <= int(flat.max()) <= limits.max:
        raise _out_of_range(layout)
    return flat.astype(layout.dtype)


def _flatten(layout: Layout, data: list[object]) -> Sequence[object]:
    """Return the elements in row-major order, as many as the shape holds."""
    flat: list[object] = data
    if flat and type(flat[0]) is list:
        flat = _unnest(layout, flat)
    if len(flat) != layout.count:
        raise _wrong_lengths(layout, (len(flat),))
    return flat


def _unnest(layout: Layout, data: list[object]) -> list[object]:
    """Take one level of lists off after the other, comparing each length."""
    level = data
    shape = layout.shape
    expected = shape[0] if shape else 0
    for length in shape[1:]:
        if len(level) != expected:
            raise _wrong_lengths(layout, None)
        rows = [row for row in level if type(row) is list and len(row) == length]
        if len(rows) != len(level):
            raise _wrong_lengths(layout, None)
        level = list(chain.from_iterable(rows))
        expected *= length
    if len(level) != expected:
        raise _wrong_lengths(layout, None)
    return level


def _wrong_lengths(layout: Layout, came: tuple[int, ...] | None) -> TensorError:
    """Say what lengths were expected."""
    name, shape = layout.spec.name, list(layout.shape)
    if came is not None and len(came) == 1:
        return TensorError(
            f"input {name!r}: the shape {shape} holds {layout.count} elements,"
            f" came {came[0]}"
        )
    got = "lists that differ" if came is None else f"{list(came)}"
    return TensorError(
        f"input {name!r}: the nested lists must have the lengths {shape}, came {got}"
    )


def _wrong_kind(layout: Layout, elements: Iterable[object]) -> TensorError:
    """Say which element is not of the input's kind."""
    expected = (
        f"input {layout.spec.name!r}: {layout.spec.datatype} takes"
        f" {_KINDS[layout.dtype.kind]}"
    )
    for index, value in enumerate(elements):
        if type(value) not in layout.kinds:
            return TensorError(f"{expected}, element {index} is {short(value)}")
    return TensorError(f"{expected}, an element after {SEARCHED_MAX} is none")


def _out_of_range(layout: Layout) -> TensorError:
    """Say that a number does not fit its type."""
    return TensorError(
        f"input {layout.spec.name!r}: a number is too large for {layout.spec.datatype}"
    )
