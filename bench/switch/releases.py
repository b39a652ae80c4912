"""Two releases whose answers differ, each with 25 MB of weights, in two slots.

One number of a row chooses a row of a table, so that a run costs next to nothing
and a model that stayed in memory would be seen.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped] # it has no types
from onnx import TensorProto, helper, numpy_helper

from edge_runtime import durable
from edge_runtime.slots import open_slots
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

NAME = "meter"
FEATURES = 16
_OUTPUTS = 3
_TABLE = (100_000, 64)
_OPSET = 17
_IR_VERSION = 8


def rows(count: int) -> np.ndarray:
    """Return different rows, one for each who asks."""
    random = np.random.default_rng(1)
    values = random.normal(size=(count, FEATURES)).astype(np.float32)
    values[:, 0] = random.integers(0, _TABLE[0], count)
    return values


def install(state_dir: Path, slot_name: str, version: int) -> Path:
    """Install a release into a slot; return its model's file."""
    model = _model(version)
    x = rows(3)
    members = {
        MODEL_FILE: model,
        GOLDEN_FILE: write_golden(GoldenSamples({"x": x}, {"y": answers(model, x)})),
    }
    slot = open_slots(state_dir).slot(slot_name)
    slot.clear()
    for name, body in members.items():
        durable.write_file(slot.member_path(name), body)
    slot.seal(_manifest(version, members))
    return slot.member_path(MODEL_FILE)


def answers(model: bytes | Path, x: np.ndarray) -> np.ndarray:
    """Return what the model makes of rows, in this process."""
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    (y,) = session.run(["y"], {"x": x})
    return np.asarray(y)


def _manifest(version: int, members: dict[str, bytes]) -> Manifest:
    return Manifest(
        release=Release(NAME, version),
        variant="fp32",
        source_digest=f"sha256:{_sha256(members[MODEL_FILE])}",
        members=tuple(Member(k, len(b), _sha256(b)) for k, b in members.items()),
        inputs=(TensorSpec("x", "FP32", (-1, FEATURES)),),
        outputs=(TensorSpec("y", "FP32", (-1, _OUTPUTS)),),
        needs=RuntimeNeeds(_IR_VERSION, {"": _OPSET}, "1.20.0"),
        tolerances={"y": DEFAULT_TOLERANCE},
    )


def _model(version: int) -> bytes:
    """Return y = table[x[0]] @ w + x @ v."""
    random = np.random.default_rng(version)
    weights: dict[str, np.ndarray] = {
        "table": random.normal(size=_TABLE).astype(np.float32),
        "w": random.normal(size=(_TABLE[1], _OUTPUTS)).astype(np.float32),
        "v": random.normal(size=(FEATURES, _OUTPUTS)).astype(np.float32),
        "zero": np.array(0, np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["x", "zero"], ["first"], axis=1),
        helper.make_node("Cast", ["first"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["found"], axis=0),
        helper.make_node("MatMul", ["found", "w"], ["a"]),
        # The first number is a place, and too large to be anything else.
        helper.make_node("Sin", ["x"], ["small"]),
        helper.make_node("MatMul", ["small", "v"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", _OUTPUTS])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(made)
    return made.SerializeToString(deterministic=True)


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
