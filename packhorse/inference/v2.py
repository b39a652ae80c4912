"""Open Inference Protocol, version 2, in JSON and with binary tensors.

Decodes a request against the tensors that a model declares, and encodes its
answer. Fields of the request that the protocol does not know are ignored, as
its clients expect; tensors that the model does not know are refused.

What stands around an answer's numbers is the same for every answer of a model
with these shapes. It is written once and remembered.

Source: Open Inference Protocol, inference_rest.md, "Inference"; "Binary Tensor
Data Extension"
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import orjson

from packhorse.errors import TensorError
from packhorse.inference.binary import encode_bytes
from packhorse.inference.datatypes import datatype_of, json_values
from packhorse.inference.layout import short
from packhorse.inference.parameters import (
    Parameters,
    read_flag,
    read_parameters,
    read_timeout_s,
)
from packhorse.inference.signature import Arrays, Signature
from packhorse.inference.v2_inputs import decode_inputs
from packhorse.manifest import TensorSpec

ID_MAX = 256
"""Characters in a request's id, which is only ever sent back."""

OUTPUTS_MAX = 1024
"""Entries of `outputs`: no model gives as many, and each may stand there once."""

REMEMBERED_MAX = 512
"""Beginnings of answers that are kept, of about 100 bytes each."""

_NOTHING: frozenset[str] = frozenset()


class InferRequest(NamedTuple):
    """What a client asks for. A tuple, since one is made for every request.

    Attributes:
        outputs: Names of the outputs to send back; None for all.
        binary: Names of the outputs to send back as raw bytes.
        timeout_s: How long the client waits; None where it does not say.
    """

    id: str
    inputs: Arrays
    outputs: tuple[str, ...] | None
    binary: frozenset[str] = _NOTHING
    timeout_s: float | None = None


class Encoded(NamedTuple):
    """An answer's body. A tuple, since one is made for every request.

    Attributes:
        json_bytes: Where its JSON ends and raw bytes follow; None where none do.
    """

    body: bytes
    json_bytes: int | None = None


def decode_request(
    document: Mapping[str, object],
    signature: Signature,
    binary: memoryview | None = None,
) -> InferRequest:
    """Read an inference request.

    Args:
        document: The request's JSON object.
        signature: What the model takes and gives.
        binary: What follows the JSON in the body; None where nothing said that
            something does. Arrays are views of it.

    Raises:
        TensorError: It contradicts itself or the model; the sentence names the
            tensor, what was expected and what came.
        LimitExceededError: A tensor has too many elements.
    """
    inputs = decode_inputs(document, signature, binary)
    request_id = document.get("id", "")
    if type(request_id) is not str or len(request_id) > ID_MAX:
        request_id = _no_id(request_id)
    if "outputs" not in document and "parameters" not in document:
        return InferRequest(request_id, inputs, None)
    parameters = read_parameters(document)
    outputs, as_bytes = _decode_outputs(document, parameters, signature)
    return InferRequest(
        request_id, inputs, outputs, as_bytes, read_timeout_s(parameters)
    )


def encode_response(
    name: str, version: str, request: InferRequest, outputs: Arrays
) -> Encoded:
    """Write the answer to an inference request.

    In JSON NaN and the infinities are written as null; integers keep every digit.

    Args:
        name: Of the model.
        version: Of the model.
        request: What was asked for.
        outputs: What the model gave, by name, in the order to answer in.
    """
    parts = [_head(name, version)]
    raws: list[bytes | memoryview] = []
    for output, array in outputs.items():
        parts.append(_beginning(output, array.dtype, array.shape))
        if output in request.binary:
            raws.append(encode_bytes(array))
            size = len(raws[-1])
            parts.append(b'"parameters":{"binary_data_size":%d}},' % size)
        else:
            parts += (b'"data":', _flat(array), b"},")
    if outputs:
        parts[-1] = parts[-1][:-1]
    tail = b'],"id":' + orjson.dumps(request.id) + b"}" if request.id else b"]}"
    parts.append(tail)
    if not raws:
        return Encoded(b"".join(parts))
    json_bytes = sum(map(len, parts))
    return Encoded(b"".join([*parts, *raws]), json_bytes)


def encode_specs(specs: Iterable[TensorSpec]) -> list[dict[str, object]]:
    """Write tensors as the protocol's model metadata does."""
    return [
        {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
        for spec in specs
    ]


def _no_id(request_id: object) -> str:
    """Return no id where a client sends null for it, and refuse anything else."""
    if request_id is None:
        return ""
    raise TensorError(
        f"'id' must be text of at most {ID_MAX} characters, came {short(request_id)}"
    )


def _decode_outputs(
    document: Mapping[str, object], parameters: Parameters, signature: Signature
) -> tuple[tuple[str, ...] | None, frozenset[str]]:
    """Read which outputs are asked for, each once, in the order asked.

    Returns:
        Their names, None for all; and the names of those wanted as raw bytes.
    """
    all_binary = read_flag(parameters, "binary_data_output", default=False)
    asked = document.get("outputs")
    if asked is None or asked == []:
        return None, frozenset(signature.outputs) if all_binary else _NOTHING
    if not isinstance(asked, list) or len(asked) > OUTPUTS_MAX:
        raise TensorError(f"'outputs' must be a list of at most {OUTPUTS_MAX} objects")
    wanted: dict[str, bool] = {}
    for entry in asked:
        name = _output_name(entry, signature)
        if name in wanted:
            raise TensorError(f"output {name!r} is asked for twice")
        own = read_parameters(entry, name)
        wanted[name] = read_flag(own, "binary_data", name, default=all_binary)
    return tuple(wanted), frozenset(name for name, is_raw in wanted.items() if is_raw)


def _output_name(entry: object, signature: Signature) -> str:
    """Return the output that one entry of `outputs` asks for."""
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or name not in signature.outputs:
        raise TensorError(
            f"the model gives the outputs {sorted(signature.outputs)},"
            f" came {short(name)}"
        )
    return name


@lru_cache(maxsize=REMEMBERED_MAX)
def _head(name: str, version: str) -> bytes:
    """Write an answer's beginning."""
    document = {"model_name": name, "model_version": version}
    return orjson.dumps(document)[:-1] + b',"outputs":['


@lru_cache(maxsize=REMEMBERED_MAX)
def _beginning(name: str, dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """Write an output's beginning, up to its data."""
    datatype = datatype_of(dtype)
    document = {"name": name, "datatype": datatype, "shape": shape}
    return orjson.dumps(document)[:-1] + b","


def _flat(array: np.ndarray) -> bytes:
    """Write the elements in row-major order."""
    return orjson.dumps(json_values(array.ravel()), option=orjson.OPT_SERIALIZE_NUMPY)
