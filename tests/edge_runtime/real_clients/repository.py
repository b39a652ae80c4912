"""A directory of models as Triton lays them out, made on the spot.

| model | versions | what it does |
|---|---|---|
| `tiny` | 1, 2 | y = x @ w + b, other weights in each version |
| `types` | 1 | one input and one output of every type; gives what it takes |
| `bfloats` | 1 | BF16; gives what it takes, and the same in FP32 |
| `pair` | 1 | two inputs, two outputs: their sum and their difference |
| `scalar` | 1 | a number without axes, doubled |
| `constant` | 1 | no inputs |
| `twice` | 1 | every text twice |
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from packhorse.manifest import MODEL_FILE
from tests.edge_runtime.real_clients.samples import TYPES
from tests.models import onnx_bytes, tiny_model

CONSTANT = np.array([[1.5, -2.0]], np.float32)

_ONNX_TYPES = {
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
_value = helper.make_tensor_value_info


def write_repository(directory):
    """Write every model."""
    for name, version, body in _models():
        folder = directory / name / str(version)
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).write_bytes(body)


def _models():
    yield "tiny", 1, tiny_model(1)
    yield "tiny", 2, tiny_model(2)
    yield "types", 1, types_model()
    yield "bfloats", 1, bfloats_model()
    yield "pair", 1, pair_model()
    yield "scalar", 1, scalar_model()
    yield "constant", 1, constant_model()
    yield "twice", 1, twice_model()


def types_model():
    """Return a model that gives back a list of every type."""
    types = {
        name: _ONNX_TYPES.get(name) or TensorProto.DataType.Value(name)
        for name in TYPES
    }
    return onnx_bytes(
        [helper.make_node("Identity", [f"in_{n}"], [f"out_{n}"]) for n in types],
        [_value(f"in_{name}", kind, [f"n_{name}"]) for name, kind in types.items()],
        [_value(f"out_{name}", kind, [f"n_{name}"]) for name, kind in types.items()],
    )


def bfloats_model():
    """Return a model that gives back BF16, and turns it into FP32."""
    return onnx_bytes(
        [
            helper.make_node("Identity", ["x"], ["same"]),
            helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        ],
        [_value("x", TensorProto.BFLOAT16, ["n", 2])],
        [
            _value("same", TensorProto.BFLOAT16, ["n", 2]),
            _value("wide", TensorProto.FLOAT, ["n", 2]),
        ],
    )


def pair_model():
    """Return a model of two inputs and two outputs."""
    return onnx_bytes(
        [
            helper.make_node("Add", ["a", "b"], ["sum"]),
            helper.make_node("Sub", ["a", "b"], ["difference"]),
        ],
        [_value(name, TensorProto.INT64, ["n", 2]) for name in ("a", "b")],
        [_value(name, TensorProto.INT64, ["n", 2]) for name in ("sum", "difference")],
    )


def scalar_model():
    """Return a model of one number."""
    return onnx_bytes(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [_value("x", TensorProto.DOUBLE, [])],
        [_value("y", TensorProto.DOUBLE, [])],
    )


def constant_model():
    """Return a model without inputs."""
    return onnx_bytes(
        [helper.make_node("Identity", ["c"], ["y"])],
        [],
        [_value("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(CONSTANT, "c")],
    )


def twice_model():
    """Return a model that writes every text twice."""
    return onnx_bytes(
        [helper.make_node("StringConcat", ["text", "text"], ["twice"])],
        [_value("text", TensorProto.STRING, ["n"])],
        [_value("twice", TensorProto.STRING, ["n"])],
        opset=20,
    )
