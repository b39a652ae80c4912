"""One prediction as the server hands it over, before anything is computed of it."""

from dataclasses import dataclass

import numpy as np

from packhorse.inference.signature import Arrays

TEXT_LOOKED_AT = 64
"""Strings whose length is looked at before the others are taken to be alike."""

_POINTER_BYTES = 64
"""A Python object beside its contents: its head, and the array's pointer to it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one request once it is answered.

    Attributes:
        at_s: When it came, by the wall clock.
        traceparent: W3C trace context; "" for none.
        outcome: `ok`, or what became of it instead.
        queue_s: How long it waited for its turn.
        compute_s: How long the model took for the batch that it ran in.
        rows: How many samples it brought.
        inputs: By name, kept by reference and never written to.
        outputs: Likewise; none where there was no answer.
    """

    at_s: float
    model: str
    version: str
    request_id: str
    traceparent: str
    outcome: str
    queue_s: float
    compute_s: float
    rows: int
    inputs: Arrays
    outputs: Arrays

    def held_bytes(self) -> int:
        """Return how much memory lives as long as this entry, nearly."""
        held = 0
        for array in self.inputs.values():
            held += _held_bytes(array)
        for array in self.outputs.values():
            held += _held_bytes(array)
        return held


def _held_bytes(array: np.ndarray) -> int:
    """Count what an array keeps alive: a view of one row keeps its whole batch."""
    if array.dtype.kind == "O":
        return array.size * (_POINTER_BYTES + _mean_length(array))
    root: object = array
    while isinstance(root, np.ndarray) and root.base is not None:
        root = root.base
    if isinstance(root, np.ndarray | memoryview):
        return max(root.nbytes, array.nbytes)
    if isinstance(root, bytes | bytearray):
        return max(len(root), array.nbytes)
    return array.nbytes


def _mean_length(texts: np.ndarray) -> int:
    looked_at = texts.flat[:TEXT_LOOKED_AT]
    lengths = [len(text) for text in looked_at if isinstance(text, str | bytes)]
    return sum(lengths) // len(lengths) if lengths else 0
