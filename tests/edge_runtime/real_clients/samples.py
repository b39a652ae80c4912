"""Tensors that both sides know: the scripts in the clients' environment, and the tests.

`pack` writes an array so that every bit of it survives JSON; `unpack` reads it.
Only numpy and ml_dtypes are needed here: tests and scripts have both.
"""

import base64

import ml_dtypes
import numpy as np

TYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
"""BF16 is not among them: ONNX Runtime has no model with both it and BYTES."""

TEXTS = ["", "grün", "two\nlines"]


def each_type():
    """Return three elements of every type, the extremes among them."""
    return {name: _sample(name, dtype) for name, dtype in TYPES.items()}


def _sample(name, dtype):
    if name == "BOOL":
        return np.array([True, False, True])
    if name == "BYTES":
        return np.array([text.encode() for text in TEXTS], np.object_)
    if name.startswith("FP"):
        return np.array([0.1, -1 / 3, np.finfo(dtype).max], dtype)
    return np.array([np.iinfo(dtype).min, 7, np.iinfo(dtype).max], dtype)


def bfloats():
    """Return numbers in BF16, of shape (2, 2)."""
    return np.array([[0.1, -3.0], [1e38, 2**-133]], ml_dtypes.bfloat16)


def odd_numbers():
    """Return what JSON has no words for."""
    return np.array([np.nan, np.inf, -np.inf, -0.0, 1e-42], np.float32)


def rows(count=3, seed=1):
    """Return rows for the tiny model, shape (count, 4)."""
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def pack(array):
    """Write an array as JSON can hold it."""
    if array.dtype.kind in "OSU":
        parts = [x if isinstance(x, bytes) else x.encode() for x in array.ravel()]
        data = [base64.b64encode(part).decode() for part in parts]
        return {"datatype": "BYTES", "shape": list(array.shape), "data": data}
    data = base64.b64encode(array.tobytes()).decode()
    return {"datatype": array.dtype.name, "shape": list(array.shape), "data": data}


def unpack(packed):
    """Read what `pack` wrote."""
    if packed["datatype"] == "BYTES":
        parts = [base64.b64decode(part) for part in packed["data"]]
        array = np.empty(len(parts), np.object_)
        array[:] = parts
    else:
        dtype = (
            ml_dtypes.bfloat16
            if packed["datatype"] == "bfloat16"
            else packed["datatype"]
        )
        array = np.frombuffer(base64.b64decode(packed["data"]), dtype)
    return array.reshape(packed["shape"])
