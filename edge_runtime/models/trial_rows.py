"""Rows to try a model with, and whether it answers them alone as in company.

Rows are made of samples that the model is known to compute, so that they stay
what it can take: an index stays one of the sample's own. They differ much in
their range, since that is what a scale taken from all of them would show.
"""

from collections.abc import Sequence

import numpy as np

from edge_runtime.errors import ModelError
from edge_runtime.model_session import ModelSession
from packhorse.inference.signature import Arrays

AGREE_RATIO = 1e-5
"""How far answers may lie apart, of the output's range: sums of 32-bit floats in
another order differ by a tenth of it, a coupling of rows by a hundred times it."""

_SCALES = (1.0, 3.0, 0.1, 1.7, -1.0, 0.01, 8.0, 0.5)
"""Of floats in one row after the other; the first row is the sample itself."""


def different_rows(samples: Sequence[Arrays], count: int) -> list[Arrays]:
    """Return rows of which no two are equal, at most `count`.

    Args:
        samples: Inputs of one row each, all of the same shapes.
        count: How many rows are wanted.
    """
    rows: list[Arrays] = []
    seen = set()
    for index in range(count):
        sample = samples[index % len(samples)]
        row = {name: _varied(array, index) for name, array in sample.items()}
        content = tuple(_content(array) for array in row.values())
        if content not in seen:
            seen.add(content)
            rows.append(row)
    return rows


def join(rows: Sequence[Arrays]) -> Arrays:
    """Return one batch of several rows."""
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def agree(session: ModelSession, rows: Sequence[Arrays], *, limit_s: float) -> bool:
    """Say whether each row gets the same answer alone and in two companies.

    Rows that it cannot compute, or whose answers are not finite, show nothing;
    two others must be left.

    Raises:
        ModelError: The model cannot compute rows together, or not in `limit_s`.
    """
    alone = [_answer(session, row, limit_s) for row in rows]
    kept = [i for i, answer in enumerate(alone) if answer and _is_finite(answer)]
    for order in (kept, kept[::-1][: max(2, len(kept) // 2)]):
        if len(order) < 2:  # noqa: PLR2004 - no company
            return False
        together = session.run(join([rows[i] for i in order]), limit_s=limit_s)
        if not _agrees([alone[i] for i in order], together):
            return False
    return True


def _answer(session: ModelSession, row: Arrays, limit_s: float) -> Arrays:
    """Return the answer to one row alone; nothing where there is none."""
    try:
        return session.run(row, limit_s=limit_s)
    except ModelError:
        return {}


def _agrees(alone: Sequence[Arrays], together: Arrays) -> bool:
    """Compare answers of single rows with those of all in one batch."""
    for name, got in together.items():
        parts = [answer[name] for answer in alone]
        if any(part.ndim < 1 or part.shape[0] != 1 for part in parts):
            return False
        if any(part.shape != parts[0].shape for part in parts):
            return False
        expected = np.concatenate(parts)
        if got.shape != expected.shape or not _is_near(expected, got):
            return False
    return True


def _is_near(expected: np.ndarray, got: np.ndarray) -> bool:
    """Compare floats within their range, everything else exactly."""
    if not _is_float(expected):
        return bool((expected == got).all())
    wide = expected.astype(np.float64)
    span = float(wide.max(initial=-np.inf) - wide.min(initial=np.inf))
    # One step of the type itself, which matters for floats of 16 bits.
    steps = np.abs(wide) * _step(expected.dtype)
    difference = np.abs(wide - got.astype(np.float64))
    return bool((difference <= AGREE_RATIO * max(span, 0.0) + steps).all())


def _is_finite(arrays: Arrays) -> bool:
    return all(
        bool(np.isfinite(array.astype(np.float64)).all())
        for array in arrays.values()
        if _is_float(array)
    )


def _varied(array: np.ndarray, index: int) -> np.ndarray:
    """Return the row that a trial has at `index`: the sample itself at 0."""
    if index == 0 or array.size == 0:
        return array
    if _is_float(array):
        noise = np.sin(np.arange(1.0, array.size + 1) * (7.3 + index))
        varied = (array + noise.reshape(array.shape)) * _SCALES[index % len(_SCALES)]
        return np.asarray(varied.astype(array.dtype))
    flat = array.ravel()
    if index % 2:
        # One element alone: nothing else of the sample has a say in any range.
        return np.full_like(array, flat[index % array.size])
    if array.dtype.kind in "iu" and not flat.any():
        # The sample is made up: most models that take an index know 0 and 1.
        mixed = (np.arange(array.size) + index // 2) % 2
        return mixed.astype(array.dtype).reshape(array.shape)
    return np.roll(flat, index // 2).reshape(array.shape)


def _content(array: np.ndarray) -> object:
    """Return what is equal for equal arrays of one shape and type."""
    if array.dtype.kind == "O":
        return tuple(array.ravel().tolist())
    return array.tobytes()


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def _step(dtype: np.dtype) -> float:
    """Return the relative distance of two neighbouring numbers of this type."""
    if dtype.name == "bfloat16":
        return 2.0**-7
    return float(np.finfo(dtype).eps)
