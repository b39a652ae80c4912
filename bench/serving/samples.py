"""Requests to the benchmark's models, in every form that a server takes.

A form is how a body is written: `v2` is the Open Inference Protocol's JSON,
`binary` its binary tensors both ways, `instances` Vertex AI's, `bare` the
`{"x": …}` of servers that leave the format to their user.

Source: Open Inference Protocol, inference_rest.md; its binary tensor data
extension; Vertex AI, "Custom container requirements for inference".
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

SHAPES: Mapping[str, tuple[int, ...]] = {
    "S": (16,),
    "M": (3, 96, 96),
    "T": (3, 224, 224),
    "W": (1024,),
}
"""What one row of each model's input `x` is shaped like."""

_JSON = ("Content-Type", "application/json")


@dataclass(frozen=True, slots=True)
class Request:
    """The headers and the body of one prediction."""

    headers: tuple[tuple[str, str], ...]
    body: bytes


def served_name(model: str) -> str:
    """Return the name under which servers know the model."""
    return model.lower()


def sample(model: str, seed: int = 0) -> np.ndarray:
    """Return one row, of shape (1, *SHAPES[model]); another seed, another row."""
    random = np.random.default_rng([11, seed])
    return random.random((1, *SHAPES[model]), dtype=np.float32)


def encode(form: str, x: np.ndarray) -> Request:
    """Write a request for the prediction of `x`."""
    return _ENCODERS[form](x)


def decode(headers: Mapping[str, str], body: bytes) -> np.ndarray:
    """Read the flat numbers of the one output in an answer.

    Args:
        headers: With names in lower case.
        body: In any of the forms.

    Raises:
        ValueError: It is no answer to a prediction.
    """
    length = headers.get("inference-header-content-length")
    try:
        if length is not None:
            return np.frombuffer(body[int(length) :], np.float32)
        document = json.loads(body)
        if "outputs" in document:
            return np.asarray(document["outputs"][0]["data"], np.float32).ravel()
        key = "predictions" if "predictions" in document else "y"
        return np.asarray(document[key], np.float32).ravel()
    except (KeyError, TypeError, LookupError) as error:
        raise ValueError(f"no answer: {body[:200]!r}") from error


def _v2(x: np.ndarray) -> Request:
    tensor = {"name": "x", "datatype": "FP32", "shape": list(x.shape)}
    return _json({"inputs": [{**tensor, "data": x.ravel().tolist()}]})


def _binary(x: np.ndarray) -> Request:
    tensor = {"name": "x", "datatype": "FP32", "shape": list(x.shape)}
    document = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": x.nbytes}}],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
    head = json.dumps(document, separators=(",", ":")).encode()
    return Request(
        (
            ("Content-Type", "application/octet-stream"),
            ("Inference-Header-Content-Length", str(len(head))),
        ),
        head + x.tobytes(),
    )


def _instances(x: np.ndarray) -> Request:
    return _json({"instances": x.tolist()})


def _bare(x: np.ndarray) -> Request:
    return _json({"x": x.tolist()})


def _json(document: object) -> Request:
    """Write JSON as most clients do: Python's own, with its spaces."""
    return Request((_JSON,), json.dumps(document).encode())


_ENCODERS: Mapping[str, Callable[[np.ndarray], Request]] = {
    "v2": _v2,
    "binary": _binary,
    "instances": _instances,
    "bare": _bare,
}
