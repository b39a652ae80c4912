"""The models that the fuzzer asks, and what each must answer, computed by numpy.

They have every datatype, scalars, several inputs and outputs, inputs that may be
left out, none at all, runs that fail for some inputs, and rows that are joined.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper

from tests import odd_models
from tests.edge_runtime.repositories import put
from tests.models import onnx_bytes, tiny_answer

DTYPES = {
    "BOOL": np.bool_,
    "BF16": ml_dtypes.bfloat16,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
} | {
    f"{kind}{bits}": f"{kind}{bits}".lower()
    for kind in ("INT", "UINT")
    for bits in (8, 16, 32, 64)
}
DTYPES = {word: np.dtype(dtype) for word, dtype in DTYPES.items()}

RELEASE = 3
LOOKUP_ROWS = 3
WIDTH = 16


@dataclass(frozen=True)
class Tensor:
    """An input or output, as the model declares it; -1 is a free axis."""

    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self):
        return DTYPES[self.datatype]


@dataclass(frozen=True, eq=False)
class Served:
    """A model and its oracle.

    Attributes:
        answer: From arrays by input name to arrays by output name; raises
            `FailedError` where the model itself must fail.
        tolerance: How far floats may lie apart; 0 for bit by bit.
    """

    name: str
    model: bytes
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    answer: Callable
    optional: frozenset = field(default_factory=frozenset)
    tolerance: float = 0.0
    version: int = 1

    @property
    def has_rows(self):
        """Whether it can be asked by instances."""
        tensors = (*self.inputs.values(), *self.outputs.values())
        return bool(self.inputs) and all(t.shape[:1] == (-1,) for t in tensors)


class FailedError(Exception):
    """The model cannot compute this input."""


def all_served():
    """Return every model, the gateway's own release first."""
    rows = Tensor("FP32", (-1, 4))
    tiny = Served(
        *("tiny", b"", {"x": rows}, {"y": Tensor("FP32", (-1, 3))}),
        answer=lambda given: {"y": tiny_answer(given["x"], RELEASE)},
        tolerance=1e-5,
        version=RELEASE,
    )
    identities = [_identity(f"id_{d.lower()}", d, (-1, 2)) for d in DTYPES]
    return [
        tiny,
        *identities,
        _identity("scalar", "FP64", ()),
        _identity("word", "BYTES", ()),
        _identity("free", "FP32", (-1, -1)),
        _identity("deep", "INT64", (-1, 2, -1)),
        *(_two_inputs("sum", None), _two_inputs("joined", "n")),
        *(_no_inputs(), _overridable(), _optional_input()),
        *(_lookup(), _mlp(), _two_outputs(), _mixed()),
    ]


def write_models(models_dir):
    """Write them where a gateway finds them."""
    for served in all_served():
        if served.model:
            put(models_dir, served.name, served.version, served.model)


def _identity(name, datatype, shape):
    axes = [f"n{i}" if axis == -1 else axis for i, axis in enumerate(shape)]
    one = Tensor(datatype, shape)
    return Served(
        *(name, odd_models.identity(datatype, axes), {"x": one}, {"y": one}),
        answer=lambda given: {"y": given["x"]},
    )


def _two_inputs(name, out_axis):
    """Return total = a + b; where `out_axis` is `n` too, requests are joined."""
    rows = Tensor("FP32", (-1, 3))
    return Served(
        *(name, odd_models.two_inputs(out=out_axis)),
        *({"a": rows, "b": rows}, {"total": rows}),
        answer=lambda given: {"total": _broadcast(np.add, given["a"], given["b"])},
    )


def _no_inputs():
    constant = np.array([1, 2], np.float32)
    return Served(
        *("constant", odd_models.no_inputs(), {}, {"y": Tensor("FP32", (2,))}),
        answer=lambda _given: {"y": constant},
    )


def _overridable():
    two = np.array([2], np.float32)
    return Served(
        *("scaled", odd_models.overridable()),
        {"x": Tensor("FP32", (-1,)), "scale": Tensor("FP32", (1,))},
        {"y": Tensor("FP32", (-1,))},
        answer=lambda given: {"y": _times(given["x"], given.get("scale", two))},
        optional=frozenset({"scale"}),
    )


def _optional_input():
    return Served(
        *("given", odd_models.optional_input()),
        *({"x": Tensor("FP32", (-1,))}, {"is_given": Tensor("BOOL", ())}),
        answer=lambda given: {"is_given": np.array("x" in given)},
        optional=frozenset({"x"}),
    )


def _lookup():
    def answer(given):
        x = given["x"]
        if ((x < -LOOKUP_ROWS) | (x >= LOOKUP_ROWS)).any():
            raise FailedError("an index past the table")
        return {"y": np.arange(LOOKUP_ROWS, dtype=np.float32)[x]}

    return Served(
        *("lookup", odd_models.lookup(LOOKUP_ROWS)),
        *({"x": Tensor("INT64", (-1,))}, {"y": Tensor("FP32", (-1,))}),
        answer=answer,
    )


def _mlp():
    first = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    second = np.random.default_rng(0).normal(size=(WIDTH, 3)).astype(np.float32)
    return Served(
        *("mlp", odd_models.mlp(WIDTH)),
        {"x": Tensor("FP32", (-1, WIDTH))},
        {"y": Tensor("FP32", (-1, 3))},
        answer=lambda given: {"y": np.maximum(given["x"] @ first, 0) @ second},
        tolerance=1e-4,
    )


def _two_outputs():
    node, other = (
        helper.make_node(kind, ["x"], [name])
        for kind, name in (("Identity", "same"), ("Neg", "minus"))
    )
    names = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2])
        for name in ("x", "same", "minus")
    }
    rows = Tensor("FP32", (-1, 2))
    return Served(
        "both",
        onnx_bytes([node, other], [names["x"]], [names["same"], names["minus"]]),
        {"x": rows},
        {"same": rows, "minus": rows},
        answer=lambda given: {"same": given["x"], "minus": -given["x"]},
    )


def _mixed():
    """Return a model that takes text, truth and numbers, and gives them back."""
    kinds = {"words": "BYTES", "flags": "BOOL", "counts": "UINT64"}
    given = [
        helper.make_tensor_value_info(name, odd_models.ONNX_TYPES[kind], ["n", 2])
        for name, kind in kinds.items()
    ]
    gives = [
        helper.make_tensor_value_info(
            f"{name}_out", odd_models.ONNX_TYPES[kind], ["n", 2]
        )
        for name, kind in kinds.items()
    ]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds]
    return Served(
        *("mixed", onnx_bytes(nodes, given, gives)),
        {name: Tensor(kind, (-1, 2)) for name, kind in kinds.items()},
        {f"{name}_out": Tensor(kind, (-1, 2)) for name, kind in kinds.items()},
        answer=lambda given: {f"{name}_out": given[name] for name in kinds},
    )


def _times(x, scale):
    with np.errstate(over="ignore"):
        return x * scale


def _broadcast(operation, a, b):
    try:
        with np.errstate(over="ignore"):
            return operation(a, b)
    except ValueError as error:
        raise FailedError(str(error)) from error
