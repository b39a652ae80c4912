"""Say much of a tensor in few bytes: what a drift shows in, and no payload.

Of numbers: least, greatest, mean, standard deviation, and how many were no finite
numbers. Of text nothing but lengths. Long tensors are read a piece at a time, so
that memory stays small and other threads get their turn between two pieces.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from packhorse.inference.datatypes import TEXT_KINDS

PIECE_ELEMENTS = 64 * 1024
"""As float64 half a megabyte: it stays in the processor's cache."""

SEEN_MAX_ELEMENTS = 4 * 1024**2
"""Of longer tensors evenly spread pieces are seen: about 25 ms of one processor."""

TEXTS_MAX = 4096
"""Strings whose lengths are taken, from the tensor's beginning."""

TOP_ROWS_MAX = 8
"""Rows of an output whose greatest element is named."""

_MATRIX = 2
_HALF = 2
"""Bytes of FP16 and BF16."""

Summary = dict[str, object]


@dataclass(slots=True)
class _Moments:
    """Count, mean and squared deviations, piece by piece.

    Source: Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances", 1979
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, piece: np.ndarray) -> None:
        """Add a piece that is not empty; all its elements are finite."""
        near = float(piece.mean())  # in the piece's own precision, which may be low
        near = near if math.isfinite(near) else 0.0
        deviations = piece.astype(np.float64)
        deviations -= near
        beside = float(deviations.sum())
        # Not `@`: BLAS has threads of its own, which spin while they wait for work.
        np.square(deviations, out=deviations)
        squares = float(deviations.sum()) - beside * beside / piece.size
        self._merge(piece.size, near + beside / piece.size, squares)

    def _merge(self, count: int, mean: float, squares: float) -> None:
        shift, before = mean - self.mean, self.count
        self.count += count
        self.mean += shift * count / self.count
        self.squares += max(squares, 0.0) + shift * shift * before * count / self.count

    def describe(self) -> Summary:
        if not self.count:
            return {"mean": None, "std": None}
        deviation = math.sqrt(self.squares / self.count)
        return {"mean": _finite(self.mean), "std": _finite(deviation)}


def summarise(array: np.ndarray) -> Summary:
    """Summarise a tensor of any datatype; the keys are in docs/protocol.md, 12.3."""
    if array.dtype.kind in TEXT_KINDS:
        return _summarise_text(array)
    with np.errstate(all="ignore"):  # what overflows becomes null
        return _summarise_numbers(array)


def top_of_rows(array: np.ndarray) -> list[list[object]] | None:
    """Return the greatest element of each of the first rows of a score matrix.

    Args:
        array: An output, (rows, classes) where it is one of scores.

    Returns:
        Index and value for each row, both null where a row has no finite number;
        None where the output is no matrix of at least two columns of fractions.
    """
    if array.ndim != _MATRIX or array.shape[1] < _MATRIX or not _is_float(array):
        return None
    rows = array[:TOP_ROWS_MAX].astype(np.float64)
    rows[~np.isfinite(rows)] = -np.inf
    tops: list[list[object]] = []
    for row in rows:
        index = int(row.argmax())
        value = _finite(float(row[index]))
        tops.append([None if value is None else index, value])
    return tops


def _summarise_numbers(array: np.ndarray) -> Summary:
    moments = _Moments()
    least: list[float] = []
    greatest: list[float] = []
    seen = 0
    for piece in _pieces(array):
        seen += piece.size
        numbers = _finite_numbers(piece)
        if numbers is not None:
            least.append(numbers.min().item())
            greatest.append(numbers.max().item())
            moments.add(numbers)
    summary: Summary = {
        "min": min(least, default=None),
        "max": max(greatest, default=None),
        **moments.describe(),
        "non_finite": seen - moments.count,
    }
    return summary if seen == array.size else {**summary, "seen": seen}


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the tensor piece by piece; evenly spread ones where it is very long."""
    flat = array.reshape(-1)
    count = -(-flat.size // PIECE_ELEMENTS)
    stride = max(1, -(-flat.size // SEEN_MAX_ELEMENTS))
    for index in range(0, count, stride):
        yield flat[index * PIECE_ELEMENTS : (index + 1) * PIECE_ELEMENTS]


def _finite_numbers(piece: np.ndarray) -> np.ndarray | None:
    """Leave out what is no finite number; make true and false 1 and 0.

    Returns:
        None where nothing is left.
    """
    if piece.dtype.kind == "b":
        return piece.view(np.uint8)
    if not _is_float(piece):
        return piece
    # numpy reckons slowly with halves, and with bfloat16 hardly at all.
    numbers = piece.astype(np.float32) if piece.dtype.itemsize == _HALF else piece
    # Either both are finite, and then all are, or one is not.
    if math.isfinite(numbers.min()) and math.isfinite(numbers.max()):
        return numbers
    numbers = numbers[np.isfinite(numbers)]
    return numbers if numbers.size else None


def _is_float(array: np.ndarray) -> bool:
    # bfloat16 is no type of numpy's own: its kind is "V".
    return array.dtype.kind in "fV"


def _summarise_text(array: np.ndarray) -> Summary:
    texts = array.reshape(-1)[:TEXTS_MAX].tolist()
    lengths = [_length_bytes(text) for text in texts]
    summary: Summary = {
        "min_bytes": min(lengths, default=None),
        "max_bytes": max(lengths, default=None),
        "mean_bytes": sum(lengths) / len(lengths) if lengths else None,
    }
    return summary if len(texts) == array.size else {**summary, "seen": len(texts)}


def _length_bytes(text: object) -> int:
    if isinstance(text, bytes):
        return len(text)
    return len(str(text).encode(errors="surrogatepass"))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
