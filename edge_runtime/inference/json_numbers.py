"""Numbers on simdjson's tape: their lists' lengths, and the way into an array.

pysimdjson flattens nested lists without looking at their lengths, so these are
walked here. The walk sees lists only where the first of each level has one; that
none stands among the numbers follows from counting: the text has as many opening
brackets as lists were seen. Where it has more, every element is looked at.
"""

from collections.abc import Iterator
from itertools import accumulate, chain
from operator import mul
from typing import Literal

import numpy as np
import simdjson

from packhorse.manifest import DIMENSIONS_MAX

_DTYPES = {"d": np.dtype(np.float64), "i": np.dtype(np.int64), "u": np.dtype(np.uint64)}

_END = object()
"""What follows the last element."""


class Tally:
    """How many lists a document has, against how many were seen."""

    def __init__(self, brackets: int) -> None:
        """Expect that many lists, less those brackets that stand in text."""
        self._unseen = brackets
        self._arrays: list[JsonNumbers] = []

    def count(self, lists: int) -> None:
        """Count lists that were seen."""
        self._unseen -= lists

    def add(self, array: "JsonNumbers") -> None:
        """Count an array's lists, and look at its elements if the tally needs it."""
        if array.lengths is not None:
            self._arrays.append(array)
            self.count(1 + sum(accumulate(array.lengths[:-1], mul)))

    def settle(self) -> None:
        """Look for lists among the numbers, unless all lists were seen."""
        if self._unseen:
            for array in self._arrays:
                array.look_for_lists()


class JsonNumbers:
    """A JSON array on the tape of a document, as `Numbers` of `packhorse` wants."""

    __slots__ = ("_array", "lengths")

    def __init__(self, array: simdjson.Array, tally: Tally) -> None:
        """Walk the lists of `array` and count them in `tally`."""
        self._array = array
        self.lengths = _walk(array)
        tally.add(self)

    def to_array(self, kind: Literal["d", "i", "u"]) -> np.ndarray:
        """Return all numbers in row-major order, as one axis."""
        # A type and a range that simdjson refuses: TypeError and ValueError.
        buffer = self._array.as_buffer(of_type=kind)
        return np.frombuffer(buffer, _DTYPES[kind])

    def to_list(self) -> list[object]:
        """Return Python's objects, nested as they came."""
        return [*self._array.as_list()]

    def leaves(self) -> Iterator[object]:
        """Yield the elements in row-major order."""
        yield from _leaves(self._array)

    def look_for_lists(self) -> None:
        """Forget the lengths if a list stands among the numbers."""
        depth = len(self.lengths or ())
        leaves = _level(self._array, depth)
        if any(isinstance(leaf, simdjson.Array) for leaf in leaves):
            self.lengths = None


def _walk(array: simdjson.Array) -> tuple[int, ...] | None:
    """Return the lengths of nested lists; None where those of a level differ."""
    lengths = _first_lengths(array)
    for depth in range(1, len(lengths)):
        try:
            # Text and objects have a length too: they are refused as numbers.
            if set(map(len, _level(array, depth))) != {lengths[depth]}:
                return None
        except TypeError:
            return None
    return lengths


def _first_lengths(array: simdjson.Array) -> tuple[int, ...]:
    """Return the length of the first list of each level."""
    lengths = [len(array)]
    while lengths[-1] and len(lengths) <= DIMENSIONS_MAX:
        first = next(iter(array))
        if not isinstance(first, simdjson.Array):
            break
        array = first
        lengths.append(len(array))
    return tuple(lengths)


def _leaves(array: simdjson.Array) -> Iterator[object]:
    """Yield the elements of lists in lists, which are at most 1,024 deep."""
    ahead = [iter(array)]
    while ahead:
        value = next(ahead[-1], _END)
        if value is _END:
            ahead.pop()
        elif isinstance(value, simdjson.Array):
            ahead.append(iter(value))
        else:
            yield {} if isinstance(value, simdjson.Object) else value


def _level(array: simdjson.Array, depth: int) -> "Iterator[simdjson.Array]":
    """Yield what stands at a level of nested lists: lists, or a `TypeError`."""
    level = iter(array)
    for _ in range(depth - 1):
        level = chain.from_iterable(level)  # type: ignore[arg-type]  # as said
    return level  # type: ignore[return-value]  # as said
