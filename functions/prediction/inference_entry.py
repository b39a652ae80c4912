"""Turn a request and its answer into an entry of the inference log.

Imports numpy: `inference_log.py` imports this in a thread when the first is due.

Source: docs/protocol.md, 12.2
"""

import base64

from functions.prediction.body_tensors import decode_tensors
from functions.prediction.event_line import event_line
from functions.prediction.noted import Noted
from packhorse.errors import TensorError
from packhorse.inference.binary import encode_bytes
from packhorse.inference.prediction import (
    Document,
    Entry,
    describe_entry,
    describe_tensor,
    least_bytes,
    summarise_entry,
)
from packhorse.inference.signature import Arrays

LINE_MAX_BYTES = 240_000
"""Cloud Logging takes 256 KB an entry, with what it adds itself."""

_OK = range(200, 300)


def encode_noted(noted: Noted, policy: str) -> bytes | None:
    """Write one line as the policy says; summarised where it is too long in full.

    Returns:
        None where not even the summary is short enough.
    """
    entry = _read(noted)
    arrays = (*entry.inputs.values(), *entry.outputs.values())
    if policy == "full" and least_bytes(arrays) * 4 // 3 <= LINE_MAX_BYTES:
        line = event_line("prediction", _in_full(entry))
        if len(line) <= LINE_MAX_BYTES:
            return line
    line = event_line("prediction", summarise_entry(entry))
    return line if len(line) <= LINE_MAX_BYTES else None


def _read(noted: Noted) -> Entry:
    inputs = _tensors(noted.body, noted.content_type)
    outputs: Arrays = {}
    answer = noted.answer
    if answer and answer.status in _OK and "content-encoding" not in answer.headers:
        outputs = _tensors(answer.body, answer.headers.get("content-type", ""))
    return Entry(
        at_s=noted.at_s,
        model=noted.model,
        version=noted.version,
        request_id=noted.request_id,
        traceparent=noted.traceparent,
        outcome=noted.outcome,
        queue_s=0.0,
        compute_s=noted.upstream_s,
        rows=_rows(inputs),
        inputs=inputs,
        outputs=outputs,
        ratio=noted.ratio,
    )


def _tensors(body: bytes, content_type: str) -> Arrays:
    try:
        return decode_tensors(body, content_type)
    except TensorError:
        return {}


def _rows(inputs: Arrays) -> int:
    first = next(iter(inputs.values()), None)
    if first is None:
        return 0
    return first.shape[0] if first.ndim else 1


def _in_full(entry: Entry) -> Document:
    return describe_entry(entry) | {
        "policy": "full",
        "inputs": _keep(entry.inputs),
        "outputs": _keep(entry.outputs),
    }


def _keep(arrays: Arrays) -> list[Document]:
    documents = []
    for name, array in arrays.items():
        raw = encode_bytes(array)
        data = {"data_bytes": len(raw), "data": base64.b64encode(raw).decode()}
        documents.append(describe_tensor(name, array) | data)
    return documents
