"""What a frame holds: JSON, and behind it the bytes of tensors kept in full.

    payload   length of the JSON (4, little-endian) · JSON · tensors' bytes

The tensors lie in the JSON's order, inputs first, each `data_bytes` long, as the
binary extension of the Open Inference Protocol has them.

Source: docs/protocol.md, 12.2
"""

import struct
from collections.abc import Iterable

import orjson

JSON_MAX_BYTES = 256 * 1024
"""Room for a model of a thousand tensors, as in a manifest."""

_LENGTH = struct.Struct("<I")

Document = dict[str, object]
Data = bytes | memoryview
Parts = tuple[Data, ...]
"""A payload in pieces, so that large tensors are written from where they lie."""


def encode_payload(document: Document, data: Iterable[Data]) -> Parts | None:
    """Put both one after the other; None where the JSON is too long."""
    head = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    if len(head) > JSON_MAX_BYTES:
        return None
    return (_LENGTH.pack(len(head)), head, *data)


def length_of(parts: Parts) -> int:
    """Return how long a payload is."""
    return sum(map(len, parts))


def decode_payload(payload: bytes) -> tuple[Document, memoryview] | None:
    """Return a record's document, and the bytes behind it; None where it is none."""
    if len(payload) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(payload)
    end = _LENGTH.size + length
    try:
        document = orjson.loads(payload[_LENGTH.size : end])
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict):
        return None
    return document, memoryview(payload)[end:]
