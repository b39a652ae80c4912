"""`{"b64": "…"}` objects in Vertex AI's instances: bytes that JSON cannot hold.

For a tensor of text each stands for one element: its bytes, which must be UTF-8.
For a tensor of numbers it stands for one instance's whole row: its raw
little-endian bytes in row-major order, as in the binary tensor extension.

Source: Vertex AI, "Get online inferences", "Formatting instances as JSON"
"""

import binascii
import math

import numpy as np

from packhorse.errors import TensorError
from packhorse.inference.binary import decode_bytes
from packhorse.inference.datatypes import numpy_type
from packhorse.inference.layout import describe_shape, make_layout
from packhorse.manifest import DIMENSIONS_MAX, TensorSpec

FIELD = "b64"


def is_base64(value: object) -> bool:
    """Say whether a JSON value is such an object."""
    return type(value) is dict and value.keys() == {FIELD}


def decode_texts(spec: TensorSpec, row: object, depth: int = 0) -> object:
    """Return a row of a text tensor with every such object decoded.

    Raises:
        TensorError: One is no text, or the row nests deeper than any tensor.
    """
    if is_base64(row):
        return _text(spec, row)
    if type(row) is not list:
        return row
    if depth > DIMENSIONS_MAX:
        raise TensorError(
            f"input {spec.name!r}: expected the shape {describe_shape(spec.shape)},"
            f" came more than {DIMENSIONS_MAX} levels of lists"
        )
    return [decode_texts(spec, part, depth + 1) for part in row]


def decode_row(spec: TensorSpec, row: object) -> np.ndarray:
    """Return one instance's row of a tensor of numbers, without the batch axis.

    Raises:
        TensorError: It is no base64, or its length does not fit the row's shape.
    """
    raw = _raw(spec, row)
    shape = _row_shape(spec, len(raw))
    row_spec = TensorSpec(spec.name, spec.datatype, shape)
    return decode_bytes(make_layout(row_spec, shape), memoryview(raw))


def _text(spec: TensorSpec, row: object) -> str:
    """Return the text that the bytes are: ONNX Runtime's strings are UTF-8."""
    try:
        return str(_raw(spec, row), "utf-8")
    except UnicodeDecodeError as error:
        raise TensorError(
            f"input {spec.name!r}: the bytes in 'b64' must be text in UTF-8"
        ) from error


def _raw(spec: TensorSpec, row: object) -> bytes:
    """Return the bytes."""
    text = row[FIELD] if isinstance(row, dict) and is_base64(row) else None
    if not isinstance(text, str):
        raise TensorError(
            f"input {spec.name!r}: expected 'b64' alone, with text in base64"
        )
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise TensorError(
            f"input {spec.name!r}: 'b64' must be text in base64"
        ) from error


def _row_shape(spec: TensorSpec, length_bytes: int) -> tuple[int, ...]:
    """Return the row's shape; the bytes' number gives at most one free axis."""
    row = spec.shape[1:]
    if -1 not in row:
        return row
    fixed = math.prod(axis for axis in row if axis != -1)
    elements = length_bytes // numpy_type(spec.datatype).itemsize
    if row.count(-1) > 1 or fixed == 0 or elements % fixed:
        raise TensorError(
            f"input {spec.name!r}: {length_bytes} bytes in 'b64' do not give the"
            f" row's shape {describe_shape(row)}"
        )
    return tuple(elements // fixed if axis == -1 else axis for axis in row)
