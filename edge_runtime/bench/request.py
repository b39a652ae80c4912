"""The one request that is sent again and again.

Source: Open Inference Protocol, inference_rest.md, "Inference"; its binary tensor
data extension
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from edge_runtime.bench.target import Target
from edge_runtime.errors import BenchError
from packhorse.inference.binary import encode_bytes
from packhorse.inference.datatypes import datatype_of, json_values, numpy_type
from packhorse.inference.signature import Arrays
from packhorse.manifest import TensorSpec

ELEMENTS_MAX = 64 * 1024**2
"""Of one input: no server takes a body that holds more."""

FILE_MAX_BYTES = 1024**3

_SEED = 7
_TEXT = "packhorse"


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: the body, and where its JSON ends when tensors follow it."""

    body: bytes
    json_bytes: int | None = None


def make_arrays(
    inputs: Sequence[TensorSpec],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    zeros: bool = False,
) -> dict[str, np.ndarray]:
    """Make an array for every input, the same each time.

    Args:
        inputs: What the model takes.
        shapes: Those of inputs with free axes; where none is given, 1.
        zeros: Zeros instead of random numbers: from 0 to 1, and whole ones 0 or 1,
            which every vocabulary knows.

    Raises:
        BenchError: A shape does not fit its input, or is too large.
    """
    if strangers := shapes.keys() - {spec.name for spec in inputs}:
        names = ", ".join(spec.name for spec in inputs)
        raise BenchError(f"the inputs are {names}, --shape names {min(strangers)!r}")
    random = np.random.default_rng(_SEED)
    return {
        spec.name: _make(spec, _shape(spec, shapes.get(spec.name)), random, zeros=zeros)
        for spec in inputs
    }


def encode_arrays(arrays: Arrays, *, binary: bool) -> Request:
    """Write the request.

    Raises:
        BenchError: JSON has no form for an input.
    """
    if not binary:
        tensors = [
            {**_head(name, array), "data": _json(name, array)}
            for name, array in arrays.items()
        ]
        return Request(orjson.dumps({"inputs": tensors}, option=_NUMPY))
    raw = {name: bytes(encode_bytes(array)) for name, array in arrays.items()}
    document = {
        "inputs": [
            {**_head(name, array), "parameters": {"binary_data_size": len(raw[name])}}
            for name, array in arrays.items()
        ],
        "parameters": {"binary_data_output": True},
    }
    head = orjson.dumps(document)
    return Request(head + b"".join(raw.values()), len(head))


def read_request(path: Path, *, binary: bool) -> Request:
    """Read a request in JSON from a file; as it is, or with its tensors in binary.

    Raises:
        BenchError: It is no request.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        body = file.read(FILE_MAX_BYTES)
    try:
        document = orjson.loads(body)
        tensors = document["inputs"]
        arrays = {tensor["name"]: _array(tensor) for tensor in tensors}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchError(f"{path} holds no v2 request: {error}") from error
    return encode_arrays(arrays, binary=True) if binary else Request(body)


def render(target: Target, request: Request) -> bytes:
    """Write the whole message, head and body."""
    kind = "application/json" if request.json_bytes is None else _BINARY
    headers = {
        "Host": target.authority,
        **target.headers,
        "Content-Type": kind,
        "Content-Length": str(len(request.body)),
    }
    if request.json_bytes is not None:
        headers["Inference-Header-Content-Length"] = str(request.json_bytes)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {target.infer_path} HTTP/1.1\r\n{lines}\r\n"
    return head.encode("latin-1") + request.body


_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_BINARY = "application/octet-stream"


def _shape(spec: TensorSpec, asked: tuple[int, ...] | None) -> tuple[int, ...]:
    shape = tuple(1 if a < 0 else a for a in spec.shape) if asked is None else asked
    fits = len(shape) == len(spec.shape) and all(
        want in (-1, have) for want, have in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise BenchError(
            f"input {spec.name!r}: expected the shape {list(spec.shape)},"
            f" came {list(shape)}"
        )
    if math.prod(shape) > ELEMENTS_MAX:
        raise BenchError(f"input {spec.name!r}: at most {ELEMENTS_MAX} elements")
    return shape


def _make(
    spec: TensorSpec,
    shape: tuple[int, ...],
    random: np.random.Generator,
    *,
    zeros: bool,
) -> np.ndarray:
    dtype = numpy_type(spec.datatype)
    if dtype.kind == "O":
        return np.full(shape, "" if zeros else _TEXT, dtype)
    if zeros:
        return np.zeros(shape, dtype)
    if dtype.kind in "fV":
        return random.random(shape, np.float32).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)


def _array(tensor: Mapping[str, object]) -> np.ndarray:
    """Read one tensor of a request in JSON."""
    dtype = numpy_type(str(tensor["datatype"]))
    data = np.array(tensor["data"], dtype=dtype)
    shape = tensor["shape"]
    if not isinstance(shape, list):
        raise TypeError("a shape must be a list")
    return data.reshape(shape)


def _head(name: str, array: np.ndarray) -> dict[str, object]:
    return {
        "name": name,
        "datatype": datatype_of(array.dtype),
        "shape": list(array.shape),
    }


def _json(name: str, array: np.ndarray) -> object:
    if datatype_of(array.dtype) == "BF16":
        raise BenchError(f"input {name!r} is BF16, which needs --binary")
    return json_values(array.reshape(-1))
