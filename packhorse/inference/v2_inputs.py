"""The inputs of an Open Inference Protocol request, against a model's signature.

A tensor stands in the request's JSON or in the bytes that follow it. What was
found out about a tensor's name, datatype and shape is remembered, since clients
send the same again and again.

Source: Open Inference Protocol, inference_rest.md, "Request Input"; "Binary
Tensor Data Extension"
"""

from collections.abc import Mapping

import numpy as np
import orjson

from packhorse.errors import TensorError
from packhorse.inference.binary import decode_bytes
from packhorse.inference.layout import Layout, check_shape, make_layout, short
from packhorse.inference.parameters import read_parameters
from packhorse.inference.signature import Arrays, Signature
from packhorse.inference.tensors import decode_array

_NO_BYTES = memoryview(b"")

_EMPTY = memoryview(b"")


def decode_inputs(
    document: Mapping[str, object], signature: Signature, binary: memoryview | None
) -> Arrays:
    """Read the tensors of a request, each once.

    Args:
        document: The request's JSON object.
        signature: What the model takes.
        binary: What follows the JSON; None where nothing said that something does.

    Raises:
        TensorError: They contradict themselves or the model.
        LimitExceededError: A tensor has too many elements.
    """
    arrays: dict[str, np.ndarray] = {}
    rest = binary
    tensors = document.get("inputs")
    if type(tensors) is not list:
        tensors = _no_list(tensors, signature)
    for tensor in tensors:
        if type(tensor) is not dict:
            raise TensorError(
                f"every entry of 'inputs' must be an object, came {short(tensor)}"
            )
        layout = _find_layout(tensor, signature)
        name = layout.spec.name
        if name in arrays:
            raise TensorError(f"input {name!r} stands there twice")
        if "parameters" in tensor:
            array, rest = _decode_either(tensor, layout, rest)
        else:
            array = decode_array(layout, tensor.get("data"))
        arrays[name] = array
    if rest or len(arrays) != len(signature.inputs):
        _check_complete(arrays, rest, signature)
    return arrays


def _no_list(tensors: object, signature: Signature) -> list[object]:
    """Return no tensors for a model that takes none, and refuse anything else."""
    if tensors is None and not signature.inputs:
        return []
    came = "which is missing" if tensors is None else f"came {short(tensors)}"
    raise TensorError(f"a request needs the list 'inputs', {came}")


def _check_complete(
    arrays: Arrays, rest: memoryview | None, signature: Signature
) -> None:
    """Refuse bytes that belong to no tensor, and inputs that are missing."""
    if rest:
        raise TensorError(f"{len(rest)} bytes follow that belong to no input")
    missing = signature.missing(arrays)
    if missing is not None:
        raise TensorError(f"input {missing!r} is missing")


def _find_layout(tensor: dict[str, object], signature: Signature) -> Layout:
    """Return what is known of a tensor by its name, datatype and shape."""
    try:
        # As JSON, since 1, 1.0 and true would be one key.
        shape = orjson.dumps(tensor.get("shape"))
        layout = signature.layouts.get((tensor["name"], tensor["datatype"], shape))
    except (KeyError, TypeError, orjson.JSONEncodeError):
        layout = None
    return layout or _check_layout(tensor, signature)


def _check_layout(tensor: dict[str, object], signature: Signature) -> Layout:
    """Compare a tensor's name, datatype and shape with what the model takes."""
    name = tensor.get("name")
    spec = signature.inputs.get(name) if isinstance(name, str) else None
    if spec is None:
        raise TensorError(
            f"the model takes the inputs {sorted(signature.inputs)}, came {short(name)}"
        )
    datatype = tensor.get("datatype")
    if datatype != spec.datatype:
        raise TensorError(
            f"input {spec.name!r}: expected the datatype {spec.datatype},"
            f" came {short(datatype)}"
        )
    layout = make_layout(spec, check_shape(spec, tensor.get("shape")))
    key = (name, datatype, orjson.dumps(tensor["shape"]))
    signature.remember(key, layout)
    return layout


def _decode_either(
    tensor: dict[str, object], layout: Layout, rest: memoryview | None
) -> tuple[np.ndarray, memoryview | None]:
    """Read a tensor from the JSON or from the bytes that follow it.

    Returns:
        The array, and the bytes that are left for other tensors.
    """
    parameters = read_parameters(tensor, layout.spec.name)
    if "binary_data_size" not in parameters:
        return decode_array(layout, tensor.get("data")), rest
    size = parameters["binary_data_size"]
    if type(size) is int and size == 0 and tensor.get("data") is None:
        # KServe's client says so of an empty tensor: `data` is null, without a header.
        return decode_bytes(layout, _EMPTY), rest
    if type(size) is not int or rest is None or not 0 <= size <= len(rest):
        raise _wrong_size(layout, size, rest)
    if tensor.get("data") is not None:
        raise TensorError(
            f"input {layout.spec.name!r}: expected 'data' or 'binary_data_size',"
            " came both"
        )
    if size == len(rest):
        return decode_bytes(layout, rest), _NO_BYTES
    return decode_bytes(layout, rest[:size]), rest[size:]


def _wrong_size(layout: Layout, size: object, rest: memoryview | None) -> TensorError:
    """Say why there are no such bytes."""
    where = f"input {layout.spec.name!r}: "
    if rest is None:
        return TensorError(
            f"{where}'binary_data_size' needs the header"
            " Inference-Header-Content-Length, which says where the JSON ends"
        )
    if type(size) is not int or size < 0:
        return TensorError(
            f"{where}'binary_data_size' must be a number of bytes, came {short(size)}"
        )
    return TensorError(f"{where}{size} bytes are to follow, came {len(rest)}")
