"""Tensors as raw bytes: the protocol's binary tensor data extension.

Numbers are little-endian, as on every machine that is served here, and in
row-major order; BOOL is one byte, 0 or 1; text
is, for each element, its length in 4 bytes and then its bytes.

An array is a view of the bytes that came, wherever they lie as its type needs:
whoever receives a body puts its tensors at multiples of `ALIGNMENT`.

Source: Open Inference Protocol, "Binary Tensor Data Extension"; Triton's
extension_binary_data.md, "Raw Binary Tensor"
"""

import struct

import numpy as np

from packhorse.errors import TensorError
from packhorse.inference.datatypes import TEXT_KINDS
from packhorse.inference.layout import Layout

ALIGNMENT = 16
"""Bytes: what any type needs, and what allocators give."""

COPIED_MAX_BYTES = 4096
"""Up to here a copy is sooner made than a view."""

_LENGTH = struct.Struct("<I")


def decode_bytes(layout: Layout, raw: memoryview) -> np.ndarray:
    """Turn the bytes of one tensor into the array that a model's input takes.

    Raises:
        TensorError: They are too many, too few, or no such elements.
    """
    kind = layout.dtype.kind
    if kind == "O":
        return _decode_text(layout, raw)
    if len(raw) != layout.size_bytes:
        raise TensorError(
            f"input {layout.spec.name!r}: the shape {list(layout.shape)} of"
            f" {layout.spec.datatype} takes {layout.size_bytes} bytes, came {len(raw)}"
        )
    array = np.ndarray(layout.shape, layout.dtype, raw)
    if kind == "b":
        _check_truth(layout, array)
    return array if array.flags.aligned else array.copy()


def encode_bytes(array: np.ndarray) -> bytes | memoryview:
    """Write the elements as raw bytes: of large arrays a view, where they allow it."""
    if array.dtype.kind in TEXT_KINDS:
        return b"".join(map(_with_length, array.ravel().tolist()))
    if array.nbytes < COPIED_MAX_BYTES:
        return array.tobytes()
    return array.ravel().view(np.uint8).data


def _check_truth(layout: Layout, array: np.ndarray) -> None:
    """Refuse bytes that are neither true nor false: nobody says what they mean."""
    highest = int(array.view(np.uint8).max(initial=0))
    if highest > 1:
        raise TensorError(
            f"input {layout.spec.name!r}: a BOOL is a byte of 0 or 1, came {highest}"
        )


def _with_length(value: object) -> bytes:
    """Write one text with its length before it."""
    raw = value if isinstance(value, bytes) else str(value).encode()
    return _LENGTH.pack(len(raw)) + raw


def _decode_text(layout: Layout, raw: memoryview) -> np.ndarray:
    """Read texts, each with its length before it."""
    texts: list[str] = []
    at, end = 0, len(raw)
    while at < end:
        if len(texts) == layout.count:
            raise _wrong_texts(layout, f"{end - at} bytes more")
        start = at + _LENGTH.size
        length = _LENGTH.unpack_from(raw, at)[0] if start <= end else 0
        if start + length > end:
            raise _wrong_texts(layout, f"one that is cut short after {len(texts)}")
        texts.append(_text(layout, raw[start : start + length], len(texts)))
        at = start + length
    if len(texts) != layout.count:
        raise _wrong_texts(layout, str(len(texts)))
    return np.array(texts, dtype=layout.dtype).reshape(layout.shape)


def _text(layout: Layout, raw: memoryview, index: int) -> str:
    """Read one text: ONNX Runtime's strings are UTF-8."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise TensorError(
            f"input {layout.spec.name!r}: text must be UTF-8, element {index} is not"
        ) from error


def _wrong_texts(layout: Layout, came: str) -> TensorError:
    return TensorError(
        f"input {layout.spec.name!r}: the shape {list(layout.shape)} of BYTES takes"
        f" {layout.count} texts with their lengths before them, came {came}"
    )
