"""What a frame holds: JSON, and behind it the bytes of tensors kept in full.

    payload   length of the JSON (4, little-endian) · JSON · tensors' bytes

The tensors lie in the JSON's order, inputs first, each `data_bytes` long, as the
binary extension of the Open Inference Protocol has them.

Source: docs/protocol.md, 12.2
"""

import struct
from collections.abc import Iterable
from typing import cast

import numpy as np
import orjson

from packhorse.inference.binary import decode_bytes, encode_bytes
from packhorse.inference.layout import make_layout
from packhorse.inference.prediction import describe_tensor
from packhorse.inference.signature import Arrays
from packhorse.manifest import TensorSpec

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


def keep_tensors(arrays: Arrays, data: list[Data]) -> list[Document]:
    """Describe tensors that are kept in full, and append their bytes to `data`.

    Raises:
        KeyError: One has no datatype of ours.
        UnicodeEncodeError: One has text that is none.
    """
    documents = []
    for name, array in arrays.items():
        raw = encode_bytes(array)
        data.append(raw)
        documents.append(describe_tensor(name, array) | {"data_bytes": len(raw)})
    return documents


def decode_tensor(tensor: Document, data: memoryview) -> np.ndarray:
    """Return a tensor that was kept in full: what is said of it, and its bytes."""
    shape = tuple(cast("list[int]", tensor["shape"]))
    spec = TensorSpec(str(tensor["name"]), str(tensor["datatype"]), shape)
    return decode_bytes(make_layout(spec, shape), data)


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
