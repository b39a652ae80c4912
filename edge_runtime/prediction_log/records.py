"""Turn what the server handed over into records, as the policy says.

Source: docs/protocol.md, 12.2
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from edge_runtime.prediction_log.entry import Entry
from edge_runtime.prediction_log.payload import (
    Data,
    Document,
    Parts,
    describe_tensor,
    encode_payload,
    keep_tensors,
    length_of,
)
from edge_runtime.prediction_log.summary import summarise, top_of_rows
from edge_runtime.settings.serve_settings import LogSettings
from packhorse.inference.datatypes import TEXT_KINDS

TEXT_MAX = 256
"""Characters of an id that a client chose; `traceparent` has 55."""

_TEXT_HEAD_BYTES = 4
"""Each string of a tensor has its length before it."""


def encode_prediction(
    entry: Entry, settings: LogSettings, limit_bytes: int
) -> Parts | None:
    """Write one prediction as the policy says.

    Tensors that are too long for one record are summarised, whatever the policy.

    Returns:
        At most `limit_bytes`; None where not even the summary is that short.
    """
    if settings.policy == "full" and _data_bytes_least(entry) <= limit_bytes:
        payload = _encode_full(entry)
        if payload and length_of(payload) <= limit_bytes:
            return payload
    document = _describe(entry) | {
        "policy": "summary",
        "inputs": [_summary(name, a) for name, a in entry.inputs.items()],
        "outputs": [_output_summary(name, a) for name, a in entry.outputs.items()],
    }
    payload = encode_payload(document, [])
    return payload if payload and length_of(payload) <= limit_bytes else None


def encode_dropped(at_s: float, dropped: Mapping[str, int]) -> Parts:
    """Write how many predictions were not recorded, by reason."""
    counts = {reason: count for reason, count in dropped.items() if count}
    document: Document = {"kind": "dropped", "at": _instant(at_s), "dropped": counts}
    return encode_payload(document, []) or ()


def _describe(entry: Entry) -> Document:
    return {
        "kind": "prediction",
        "at": _instant(entry.at_s),
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


def _encode_full(entry: Entry) -> Parts | None:
    data: list[Data] = []
    document = _describe(entry) | {
        "policy": "full",
        "inputs": keep_tensors(entry.inputs, data),
        "outputs": keep_tensors(entry.outputs, data),
    }
    return encode_payload(document, data)


def _summary(name: str, array: np.ndarray) -> Document:
    return describe_tensor(name, array) | {"summary": summarise(array)}


def _output_summary(name: str, array: np.ndarray) -> Document:
    summary = summarise(array)
    top = top_of_rows(array)
    if top is not None:
        summary["top"] = top
    return describe_tensor(name, array) | {"summary": summary}


def _data_bytes_least(entry: Entry) -> int:
    """Return how long the data is at least, without making it."""
    arrays = [*entry.inputs.values(), *entry.outputs.values()]
    return sum(
        _TEXT_HEAD_BYTES * array.size
        if array.dtype.kind in TEXT_KINDS
        else array.nbytes
        for array in arrays
    )


def _instant(at_s: float) -> str:
    at = datetime.fromtimestamp(at_s, UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
