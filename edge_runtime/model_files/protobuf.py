"""Walk Protocol Buffers' wire format, over a memory map, without a schema.

Only fields that have a length are yielded; the others are stepped over.

Source: Protocol Buffers, "Encoding"
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import ModelError

Buffer = mmap.mmap | bytes

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_VARINT_MAX_BYTES = 10
_TAG_MAX = 2**32 - 1


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """Map a model's file, which is not read but where it is looked at.

    Raises:
        ModelError: The file is empty.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ModelError(f"{path.name} is empty, expected an ONNX model")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
            yield body


def fields(body: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each length-delimited field of a message.

    Raises:
        ModelError: This is no message, or is cut short.
    """
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
