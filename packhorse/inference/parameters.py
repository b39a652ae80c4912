"""The parameters of requests and of tensors that this server knows.

Others are ignored, as the protocol says, but for those that would change the
answer's meaning: these are refused with a sentence.

Source: Open Inference Protocol, "Parameters"; Triton's extension_binary_data.md,
extension_classification.md, extension_shared_memory.md, extension_parameters.md
"""

import math
from collections.abc import Mapping

from packhorse.errors import TensorError
from packhorse.inference.layout import short

Parameters = Mapping[str, object]

NONE: Parameters = {}

_REFUSED = {
    "classification": "classes are not looked up here: ask for the tensor",
    "shared_memory_region": "shared memory is not served: send the tensor",
}


def read_parameters(document: Mapping[str, object], tensor: str = "") -> Parameters:
    """Return the object `parameters`, empty where there is none.

    Args:
        document: A request, or one entry of its `inputs` or `outputs`.
        tensor: Whose entry it is, for the sentence; empty for the request.

    Raises:
        TensorError: It is no object, or asks for what is not served.
    """
    parameters = document.get("parameters")
    if parameters is None:
        return NONE
    if type(parameters) is not dict:
        raise TensorError(f"{_where(tensor)}'parameters' must be an object")
    if not _REFUSED.keys().isdisjoint(parameters):
        name = next(name for name in _REFUSED if name in parameters)
        raise TensorError(f"{_where(tensor)}the parameter {name!r}: {_REFUSED[name]}")
    return parameters


def read_timeout_s(parameters: Parameters) -> float | None:
    """Return how long the client waits; None where it does not say.

    `timeout_ms` is in milliseconds, Triton's `timeout` in microseconds. The
    shorter counts; 0 says nothing, as with Triton.
    """
    asked = [
        _duration_s(parameters, name, unit_s)
        for name, unit_s in (("timeout_ms", 1e-3), ("timeout", 1e-6))
        if name in parameters
    ]
    return min((timeout_s for timeout_s in asked if timeout_s > 0), default=None)


def read_flag(
    parameters: Parameters, name: str, tensor: str = "", *, default: bool
) -> bool:
    """Return a parameter that is true or false."""
    flag = parameters.get(name, default)
    if not isinstance(flag, bool):
        raise TensorError(
            f"{_where(tensor)}the parameter {name!r} must be true or false"
        )
    return flag


def _where(tensor: str) -> str:
    """Begin a sentence about a tensor's parameters."""
    return f"tensor {tensor!r}: " if tensor else ""


def _duration_s(parameters: Parameters, name: str, unit_s: float) -> float:
    value = parameters[name]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        duration_s = float(value) * unit_s
        if 0 <= duration_s < math.inf:
            return duration_s
    raise TensorError(
        f"the parameter {name!r} must be a number of 0 or more, came {short(value)}"
    )
