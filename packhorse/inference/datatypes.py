"""The protocol's datatypes, as numpy has them and as JSON writes them.

numpy has no BF16; its type comes from ml_dtypes, imported when the first model
with such a tensor is met, since most gateways never meet one.

Source: Open Inference Protocol, version 2, "Tensor Data Types"
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np

NUMPY_TYPES: Mapping[str, np.dtype] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "UINT8": np.dtype(np.uint8),
        "UINT16": np.dtype(np.uint16),
        "UINT32": np.dtype(np.uint32),
        "UINT64": np.dtype(np.uint64),
        "INT8": np.dtype(np.int8),
        "INT16": np.dtype(np.int16),
        "INT32": np.dtype(np.int32),
        "INT64": np.dtype(np.int64),
        "FP16": np.dtype(np.float16),
        "FP32": np.dtype(np.float32),
        "FP64": np.dtype(np.float64),
        "BYTES": np.dtype(np.object_),
    }
)
"""All that numpy itself has: BF16 is missing, see `numpy_type`."""

TEXT_KINDS = "OUS"
"""numpy's kinds of text: Python's objects, as ONNX Runtime gives them, and own."""

_WORDS = {dtype: word for word, dtype in NUMPY_TYPES.items()}
_BF16_NAME = "bfloat16"


def numpy_type(datatype: str) -> np.dtype:
    """Return numpy's type for one of the protocol's words."""
    return _bf16() if datatype == "BF16" else NUMPY_TYPES[datatype]


def datatype_of(dtype: np.dtype) -> str:
    """Return the protocol's word for one of numpy's types."""
    if dtype.kind in TEXT_KINDS:
        return "BYTES"
    return "BF16" if dtype.name == _BF16_NAME else _WORDS[dtype]


def json_values(array: np.ndarray) -> np.ndarray | list[object]:
    """Return the array in a form that orjson writes, of the same shape.

    NaN and the infinities become null when it does.
    """
    kind = array.dtype.kind
    if kind in TEXT_KINDS:
        texts = np.array([_text(v) for v in array.ravel().tolist()], dtype=object)
        values: list[object] = texts.reshape(array.shape).tolist()
        return values
    # BF16 is unknown to orjson; each of its numbers is one of FP32's.
    return np.ascontiguousarray(array.astype(np.float32) if kind == "V" else array)


@cache
def _bf16() -> np.dtype:
    """Return the type of 16-bit floats with the exponent of 32-bit ones."""
    import ml_dtypes  # noqa: PLC0415  # 2 MB that few models need

    dtype: np.dtype = np.dtype(ml_dtypes.bfloat16)
    return dtype


def _text(value: object) -> str:
    """Return a string tensor's element as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
