"""Tiny ONNX models and bundles, made on the spot, the same bytes each time.

`tiny_model(version)` computes y = x @ w + b for 4 numbers in and 3 out; w and b
depend on the version, so an answer tells which version gave it.
"""

import hashlib
import io

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from packhorse.bundle import write_bundle
from packhorse.golden import GoldenSamples, write_golden
from packhorse.manifest import (
    GOLDEN_FILE,
    MODEL_FILE,
    Manifest,
    Member,
    RuntimeNeeds,
    TensorSpec,
)
from packhorse.names import Release
from packhorse.tolerance import DEFAULT_TOLERANCE

FEATURES = 4
CLASSES = 3
OPSET = 17
IR_VERSION = 8

INPUTS = (TensorSpec("x", "FP32", (-1, FEATURES)),)
OUTPUTS = (TensorSpec("y", "FP32", (-1, CLASSES)),)


def tiny_weights(version=1):
    """Return w of shape (4, 3) and b of shape (3,)."""
    random = np.random.default_rng(version)
    w = random.normal(size=(FEATURES, CLASSES)).astype(np.float32)
    return w, random.normal(size=CLASSES).astype(np.float32)


def tiny_answer(rows, version=1):
    """Return what the model of that version answers, computed by numpy."""
    w, b = tiny_weights(version)
    return np.asarray(rows, np.float32) @ w + b


def tiny_model(version=1):
    """Return an ONNX model as bytes."""
    w, b = tiny_weights(version)
    return onnx_bytes(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")],
    )


def onnx_bytes(nodes, inputs, outputs, initializers=(), opset=OPSET):
    """Return a model of these parts as bytes."""
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, list(initializers))
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        producer_name="packhorse-tests",
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def nan_when_negative(model):
    """Return the tiny model with NaN in its output where x[0] is below zero."""
    changed = onnx.load_from_string(model)
    changed.graph.node[0].output[0] = "y_good"
    constants = {"first": [0], "second": [1], "axis": [1]}
    for name, value in constants.items():
        tensor = numpy_helper.from_array(np.array(value, np.int64), name)
        changed.graph.initializer.append(tensor)
    for name, value in (("nan", np.nan), ("zero", 0.0)):
        tensor = numpy_helper.from_array(np.array(value, np.float32), name)
        changed.graph.initializer.append(tensor)
    changed.graph.node.extend(
        [
            helper.make_node("Slice", ["x", "first", "second", "axis"], ["x_first"]),
            helper.make_node("Less", ["x_first", "zero"], ["is_bad"]),
            helper.make_node("Where", ["is_bad", "nan", "zero"], ["bad"]),
            helper.make_node("Add", ["y_good", "bad"], ["y"]),
        ]
    )
    onnx.checker.check_model(changed)
    return changed.SerializeToString(deterministic=True)


def tiny_golden(model, count=3, seed=7):
    """Return golden samples for a tiny model, computed by onnxruntime."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, FEATURES)).astype(np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (y,) = session.run(["y"], {"x": x})
    return GoldenSamples(inputs={"x": x}, outputs={"y": y})


def tiny_bundle(version=1, *, model=None, golden=None, name="tiny", variant="fp32"):
    """Return a manifest and the bundle's bytes.

    Args:
        version: The release's version, and the seed of the weights.
        model: ONNX bytes instead of `tiny_model(version)`.
        golden: `GoldenSamples`, or npz bytes, instead of the model's own.
        name: The model's name.
        variant: The variant's name.
    """
    model = tiny_model(version) if model is None else model
    if golden is None:
        golden = tiny_golden(model)
    if isinstance(golden, GoldenSamples):
        golden = write_golden(golden)
    bodies = {MODEL_FILE: model, GOLDEN_FILE: golden}
    manifest = Manifest(
        release=Release(name, version),
        variant=variant,
        source_digest=f"sha256:{hashlib.sha256(model).hexdigest()}",
        members=tuple(_member(key, body) for key, body in bodies.items()),
        inputs=INPUTS,
        outputs=OUTPUTS,
        needs=RuntimeNeeds(IR_VERSION, {"": OPSET}, "1.20.0"),
        tolerances={"y": DEFAULT_TOLERANCE},
    )
    out = io.BytesIO()
    write_bundle(manifest, {k: io.BytesIO(b) for k, b in bodies.items()}, out)
    return manifest, out.getvalue()


def _member(name, body):
    return Member(name, len(body), hashlib.sha256(body).hexdigest())
