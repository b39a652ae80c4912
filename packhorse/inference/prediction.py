"""One prediction, and what a log says of it: the same on a gateway and in the cloud.

Who writes the log decides where the elements of tensors lie that are kept in full.

Source: docs/protocol.md, 12.2
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from packhorse.inference.datatypes import TEXT_KINDS, datatype_of
from packhorse.inference.signature import Arrays
from packhorse.inference.summary import summarise, top_of_rows

TEXT_MAX = 256
"""Characters of an id that a client chose; `traceparent` has 55."""

_TEXT_HEAD_BYTES = 4
"""Each string of a tensor has its length before it."""

Document = dict[str, object]


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
        ratio: Share of the requests that were kept: it stands for 1 / `ratio`.
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
    ratio: float = 1.0


def describe_entry(entry: Entry) -> Document:
    """Say all but the policy and the tensors."""
    return {
        "kind": "prediction",
        "at": instant(entry.at_s),
        "model": entry.model,
        "version": entry.version,
        "request_id": entry.request_id[:TEXT_MAX],
        "traceparent": entry.traceparent[:TEXT_MAX],
        "outcome": entry.outcome,
        "queue_s": round(entry.queue_s, 7),
        "compute_s": round(entry.compute_s, 7),
        "rows": entry.rows,
        "ratio": entry.ratio,
    }


def summarise_entry(entry: Entry) -> Document:
    """Say all, and of the tensors what a drift shows in.

    Raises:
        KeyError: A tensor has no datatype of ours.
    """
    return describe_entry(entry) | {
        "policy": "summary",
        "inputs": [_summary(name, a) for name, a in entry.inputs.items()],
        "outputs": [_output_summary(name, a) for name, a in entry.outputs.items()],
    }


def describe_tensor(name: str, array: np.ndarray) -> Document:
    """Say what a tensor is, without its elements.

    Raises:
        KeyError: It has no datatype of ours.
    """
    return {
        "name": name,
        "datatype": datatype_of(array.dtype),
        "shape": list(array.shape),
    }


def least_bytes(arrays: Iterable[np.ndarray]) -> int:
    """Return how long tensors are at least as raw bytes, without making these."""
    return sum(
        _TEXT_HEAD_BYTES * array.size
        if array.dtype.kind in TEXT_KINDS
        else array.nbytes
        for array in arrays
    )


def instant(at_s: float) -> str:
    """Write a moment of the wall clock."""
    at = datetime.fromtimestamp(at_s, UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _summary(name: str, array: np.ndarray) -> Document:
    return describe_tensor(name, array) | {"summary": summarise(array)}


def _output_summary(name: str, array: np.ndarray) -> Document:
    summary = summarise(array)
    top = top_of_rows(array)
    if top is not None:
        summary["top"] = top
    return describe_tensor(name, array) | {"summary": summary}
