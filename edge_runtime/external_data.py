"""Find which files an ONNX model would open beside itself, without opening any.

A model may keep weights in other files, and names them by path: a hostile one
names `../../device.key`. ONNX Runtime opens what it finds, so the paths are read
here first. This walks the protobuf wire format over a memory map and looks only
at fields that lead to tensors; weights themselves are stepped over, not read.

Source: onnx/onnx.proto; Protocol Buffers, "Encoding"
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.errors import ModelError

DEPTH_MAX = 64
"""Graphs nest in loops and branches; real models stay under ten levels."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_VARINT_MAX_BYTES = 10
_TAG_MAX = 2**32 - 1

_PATHS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
}
"""By message: which of its fields lead, by way of which message, to a tensor."""

Buffer = mmap.mmap | bytes


def external_locations(path: Path) -> set[str]:
    """Return every path that the model names as a tensor's external data.

    Raises:
        ModelError: The file is no protobuf message, or nests too deep.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ModelError(f"{path.name} is empty, expected an ONNX model")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
            return set(_locations(body, "Model", (0, len(body)), 0))


def _locations(
    body: Buffer, message: str, span: tuple[int, int], depth: int
) -> Iterator[str]:
    """Yield the external locations inside one message."""
    if depth > DEPTH_MAX:
        raise ModelError(f"the model nests more than {DEPTH_MAX} messages deep")
    leads_to = _PATHS[message]
    for field, start, end in _fields(body, *span):
        kind = leads_to.get(field)
        if kind == "Entry":
            yield from _location(body, start, end)
        elif kind is not None:
            yield from _locations(body, kind, (start, end), depth + 1)


def _location(body: Buffer, start: int, end: int) -> Iterator[str]:
    """Yield the value of a key-value entry whose key is `location`."""
    entry = {number: body[a:b] for number, a, b in _fields(body, start, end)}
    if entry.get(1) == b"location":
        yield entry.get(2, b"").decode("utf-8", "replace")


def _fields(body: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each length-delimited field of a message."""
    while at < end:
        tag, at = _varint(body, at, end)
        if tag > _TAG_MAX:
            # Protobuf's own parser drops the upper bits and would see another field.
            raise ModelError("the model file is no ONNX model")
        kind = tag & 7
        if kind == _LENGTH:
            length, at = _varint(body, at, end)
            if length > end - at:
                raise ModelError("the model file is cut short or is no ONNX model")
            yield tag >> 3, at, at + length
            at += length
        elif kind == _VARINT:
            _, at = _varint(body, at, end)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ModelError("the model file is no ONNX model")


def _varint(body: Buffer, at: int, end: int) -> tuple[int, int]:
    """Return the number at `at`, and where it ends."""
    value = 0
    for index in range(_VARINT_MAX_BYTES):
        if at + index >= end:
            break
        byte = body[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, at + index + 1
    raise ModelError("the model file is cut short or is no ONNX model")
