"""Open Inference Protocol, version 2, in JSON.

Decodes a request against the tensors that a model declares, and encodes its
answer. Fields of the request that the protocol does not know are ignored, as
its clients expect; tensors that the model does not know are refused.

Source: Open Inference Protocol, inference_rest.md, "Inference"
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from packhorse.errors import TensorError
from packhorse.inference.tensors import check_shape, datatype_of, decode_array
from packhorse.manifest import TensorSpec
from packhorse.names import Release

ID_MAX = 256
"""Characters in a request's id, which is only ever sent back."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What a client asks for.

    Attributes:
        outputs: Names of the outputs to send back; None for all.
    """

    id: str
    inputs: Arrays
    outputs: tuple[str, ...] | None


def decode_body(body: bytes | bytearray | memoryview) -> dict[str, object]:
    """Read a request's JSON object, whichever protocol it speaks.

    Raises:
        TensorError: It is no JSON object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise TensorError(
            f"a request must be JSON: {error.msg} at character {error.pos}"
        ) from error
    if not isinstance(document, dict):
        raise TensorError("a request must be a JSON object")
    return document


def decode_request(
    document: Mapping[str, object],
    inputs: Mapping[str, TensorSpec],
    outputs: Mapping[str, TensorSpec],
) -> InferRequest:
    """Read an inference request.

    Args:
        document: What `decode_body` returned.
        inputs: What the model takes, by name.
        outputs: What the model gives, by name.

    Raises:
        TensorError: It contradicts itself or the model; the sentence names the
            tensor, what was expected and what came.
    """
    tensors = document.get("inputs")
    if not isinstance(tensors, list):
        raise TensorError("a request needs the list 'inputs'")
    arrays: dict[str, np.ndarray] = {}
    for tensor in tensors:
        name, array = _decode_input(tensor, inputs)
        if name in arrays:
            raise TensorError(f"input {name!r} stands there twice")
        arrays[name] = array
    if len(arrays) != len(inputs):
        missing = next(name for name in inputs if name not in arrays)
        raise TensorError(f"input {missing!r} is missing")
    return InferRequest(
        id=_decode_id(document),
        inputs=arrays,
        outputs=_decode_outputs(document, outputs),
    )


def encode_response(release: Release, request_id: str, outputs: Arrays) -> bytes:
    """Write the answer to an inference request.

    NaN and the infinities are written as null; 64-bit integers keep every digit.
    """
    document: dict[str, object] = {
        "model_name": release.model,
        "model_version": str(release.version),
    }
    if request_id:
        document["id"] = request_id
    document["outputs"] = [
        {
            "name": name,
            "datatype": datatype_of(array),
            "shape": array.shape,
            "data": _flat(array),
        }
        for name, array in outputs.items()
    ]
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_specs(specs: Sequence[TensorSpec]) -> list[dict[str, object]]:
    """Write tensors as the protocol's model metadata does."""
    return [
        {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
        for spec in specs
    ]


def _decode_input(
    tensor: object, inputs: Mapping[str, TensorSpec]
) -> tuple[str, np.ndarray]:
    """Read one entry of `inputs`."""
    if not isinstance(tensor, dict):
        raise TensorError("every entry of 'inputs' must be an object")
    name = tensor.get("name")
    spec = inputs.get(name) if isinstance(name, str) else None
    if spec is None:
        raise TensorError(
            f"the model takes the inputs {sorted(inputs)}, came {str(name)[:80]!r}"
        )
    datatype = tensor.get("datatype")
    if datatype != spec.datatype:
        raise TensorError(
            f"input {spec.name!r}: expected the datatype {spec.datatype},"
            f" came {str(datatype)[:40]!r}"
        )
    shape = check_shape(spec, tensor.get("shape"))
    return spec.name, decode_array(spec, shape, tensor.get("data"))


def _decode_outputs(
    document: Mapping[str, object], outputs: Mapping[str, TensorSpec]
) -> tuple[str, ...] | None:
    """Read which outputs are asked for, each once, in the order asked."""
    asked = document.get("outputs")
    if asked is None or asked == []:
        return None
    if not isinstance(asked, list):
        raise TensorError("'outputs' must be a list")
    names: dict[str, None] = {}
    for entry in asked:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in outputs:
            raise TensorError(
                f"the model gives the outputs {sorted(outputs)},"
                f" came {str(name)[:80]!r}"
            )
        names[name] = None
    return tuple(names)


def _decode_id(document: Mapping[str, object]) -> str:
    """Read the request's id, and look at its parameters' shape."""
    request_id = document.get("id", "")
    if not isinstance(request_id, str) or len(request_id) > ID_MAX:
        raise TensorError(f"'id' must be text of at most {ID_MAX} characters")
    if not isinstance(document.get("parameters", {}), dict):
        raise TensorError("'parameters' must be an object")
    return request_id


def _flat(array: np.ndarray) -> object:
    """Return the elements in row-major order, in a form that orjson writes."""
    if array.dtype.kind in "OUS":
        return [_text(value) for value in array.reshape(-1).tolist()]
    return np.ascontiguousarray(array).reshape(-1)


def _text(value: object) -> str:
    """Return a string tensor's element as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
