"""Read the tensors out of a body whose model nobody knows here.

The function passes bodies on unread; only a shadow's comparison and the
inference log look into a few. Without the model's signature a tensor of the
Open Inference Protocol is what it says of itself, and Vertex AI's instances and
predictions, which say nothing, are numbers of 64 bits, truths or texts.

Imports numpy: whoever uses this imports it when the first body is to be read.

Source: docs/protocol.md, 10
"""

import re
from collections.abc import Sequence

import numpy as np
import orjson

from packhorse.errors import LimitExceededError, TensorError
from packhorse.inference.binary import decode_bytes
from packhorse.inference.datatypes import numpy_type
from packhorse.inference.layout import Layout, check_shape, make_layout
from packhorse.inference.signature import Arrays
from packhorse.inference.tensors import decode_array
from packhorse.manifest import DIMENSIONS_MAX, TensorSpec

JSON_MAX_BYTES = 1_500_000
"""What a shared endpoint takes: 5 ms to read, mostly. Raw bytes cost nothing."""

TENSORS_MAX = 1024

_JSON_SIZE = re.compile(r"json-header-size=([0-9]{1,9})")
_UNREADABLE = (
    # What JSON of any shape makes numpy, and our decoders, raise.
    ArithmeticError,
    ImportError,
    LimitExceededError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def decode_tensors(body: bytes, content_type: str) -> Arrays:
    """Read inputs or instances, outputs or predictions.

    Args:
        body: As it went to Vertex AI, or came from there.
        content_type: Says where the JSON of a binary body ends.

    Returns:
        By name; rows without names have that of their field, `predictions` or
        `instances`. Arrays may be views of the body. NaN stands for null among
        numbers.

    Raises:
        TensorError: There are none that could be read.
    """
    try:
        return _decode(body, content_type)
    except TensorError:
        raise
    except _UNREADABLE as error:
        raise TensorError(f"no tensors ({type(error).__name__})") from error


def _decode(body: bytes, content_type: str) -> Arrays:
    match = _JSON_SIZE.search(content_type)
    size = int(match.group(1)) if match else len(body)
    if not size <= min(len(body), JSON_MAX_BYTES):
        raise TensorError("no tensors: the JSON is too long, or cut")
    view = memoryview(body)
    document = orjson.loads(view[:size])
    if not isinstance(document, dict):
        raise TensorError("no tensors: not an object")
    # A request names its outputs too, without their elements.
    for key in ("inputs", "outputs"):
        if isinstance(tensors := document.get(key), list):
            return _decode_tensors(tensors, view[size:])
    for key in ("predictions", "instances"):
        if isinstance(rows := document.get(key), list):
            return _decode_rows(key, rows)
    raise TensorError("no tensors: an object of another kind")


def _decode_tensors(tensors: Sequence[object], rest: memoryview) -> Arrays:
    """Read tensors that say their name, datatype and shape."""
    if len(tensors) > TENSORS_MAX:
        raise TensorError(f"more than {TENSORS_MAX} tensors")
    arrays: dict[str, np.ndarray] = {}
    for tensor in tensors:
        if not isinstance(tensor, dict):
            raise TensorError("a tensor is an object")
        layout = _layout(tensor)
        size = _binary_size(tensor)
        if size is None:
            array = _from_json(layout, tensor["data"])
        else:
            array, rest = decode_bytes(layout, rest[:size]), rest[size:]
        arrays[layout.spec.name] = array
    return arrays


def _binary_size(tensor: dict[str, object]) -> int | None:
    """Return how many bytes of a tensor follow the JSON; None where it has data."""
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and (type(size) is not int or size < 0):
        raise TensorError("the size of a tensor is a number of bytes")
    return size


def _layout(tensor: dict[str, object]) -> Layout:
    name, datatype, shape = tensor["name"], tensor["datatype"], tensor["shape"]
    if not isinstance(name, str) or not isinstance(datatype, str):
        raise TensorError("a tensor has a name and a datatype")
    if not isinstance(shape, list):
        raise TensorError("a tensor has a shape")
    numpy_type(datatype)  # an unknown one is no key
    free = TensorSpec(name, datatype, (-1,) * len(shape[: DIMENSIONS_MAX + 1]))
    return make_layout(free, check_shape(free, shape))


def _from_json(layout: Layout, data: object) -> np.ndarray:
    if layout.dtype.kind not in "fV":
        return decode_array(layout, data)
    if not isinstance(data, list):
        raise TensorError("a tensor has data")
    # Answers write NaN and the infinities as null, which numpy reads as NaN.
    with np.errstate(over="ignore"):
        wide = np.array(data, dtype=np.float64)
        return wide.astype(layout.dtype).reshape(layout.shape)


def _decode_rows(key: str, rows: Sequence[object]) -> Arrays:
    """Read instances or predictions: values, lists, or objects of these by name."""
    if not rows or not isinstance(rows[0], dict):
        return {key: _untyped(rows)}
    names = [name for name in rows[0] if isinstance(name, str)][:TENSORS_MAX]
    return {name: _untyped([_value(row, name) for row in rows]) for name in names}


def _value(row: object, name: str) -> object:
    if not isinstance(row, dict):
        raise TensorError("some rows are objects and some are not")
    return row[name]


def _untyped(rows: Sequence[object]) -> np.ndarray:
    """Make an array of what the first element is: truth, text or numbers."""
    first: object = rows
    while isinstance(first, list) and first:
        first = first[0]
    if isinstance(first, bool | str):
        # Never numpy's own text: each element would be as wide as the widest.
        found = np.array(rows, dtype=object)
        if any(type(value) is not type(first) for value in found.ravel().tolist()):
            raise TensorError("the elements are not of one kind")
        return found.astype(np.bool_) if isinstance(first, bool) else found
    return np.array(rows, dtype=np.float64)
