"""Turn what the server handed over into records, as the policy says.

Source: docs/protocol.md, 12.2
"""

from collections.abc import Mapping

from edge_runtime.prediction_log.payload import (
    Data,
    Document,
    Parts,
    encode_payload,
    keep_tensors,
    length_of,
)
from edge_runtime.settings.serve_settings import LogSettings
from packhorse.inference.prediction import (
    Entry,
    describe_entry,
    instant,
    least_bytes,
    summarise_entry,
)


def encode_prediction(
    entry: Entry, settings: LogSettings, limit_bytes: int
) -> Parts | None:
    """Write one prediction as the policy says.

    Tensors that are too long for one record are summarised, whatever the policy.

    Returns:
        At most `limit_bytes`; None where not even the summary is that short.
    """
    arrays = (*entry.inputs.values(), *entry.outputs.values())
    if settings.policy == "full" and least_bytes(arrays) <= limit_bytes:
        payload = _encode_full(entry)
        if payload and length_of(payload) <= limit_bytes:
            return payload
    payload = encode_payload(summarise_entry(entry), [])
    return payload if payload and length_of(payload) <= limit_bytes else None


def encode_dropped(at_s: float, dropped: Mapping[str, int]) -> Parts:
    """Write how many predictions were not recorded, by reason."""
    counts = {reason: count for reason, count in dropped.items() if count}
    document: Document = {"kind": "dropped", "at": instant(at_s), "dropped": counts}
    return encode_payload(document, []) or ()


def _encode_full(entry: Entry) -> Parts | None:
    data: list[Data] = []
    document = describe_entry(entry) | {
        "policy": "full",
        "inputs": keep_tensors(entry.inputs, data),
        "outputs": keep_tensors(entry.outputs, data),
    }
    return encode_payload(document, data)
