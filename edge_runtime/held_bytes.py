"""How much memory an array keeps alive, which can be far more than its elements.

A view of one row keeps its whole batch, and a tensor that came as bytes keeps the
whole body that it stood in.
"""

import numpy as np

TEXT_LOOKED_AT = 64
"""Strings whose length is looked at before the others are taken to be alike."""

_POINTER_BYTES = 64
"""A Python object beside its contents: its head, and the array's pointer to it."""


def held_bytes(array: np.ndarray) -> int:
    """Count the memory that lives as long as `array`, nearly."""
    if array.dtype.kind == "O":
        return array.size * (_POINTER_BYTES + _mean_length(array))
    root: object = array
    while isinstance(root, np.ndarray | memoryview):
        # A part of a view keeps all that was viewed.
        parent = root.base if isinstance(root, np.ndarray) else root.obj
        if parent is None:
            return root.nbytes
        root = parent
    return len(root) if isinstance(root, bytes | bytearray) else array.nbytes


def _mean_length(texts: np.ndarray) -> int:
    looked_at = texts.flat[:TEXT_LOOKED_AT]
    lengths = [len(text) for text in looked_at if isinstance(text, str | bytes)]
    return sum(lengths) // len(lengths) if lengths else 0
