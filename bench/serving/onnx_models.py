"""The ONNX models that every server serves, made on the spot.

    S  perceptron 16-64-64-3: 5 µs a run, so what surrounds the run decides
    M  convolutions on 3x96x96: 3 ms a run, so the run decides
    T  mean and one layer on 3x224x224: 27 µs a run, 600 kB in; parsing decides
    W  perceptron 1024-1536-1536-10: weights from memory, where batches pay

Each has one FP32 input `x` and one FP32 output `y` with a free first axis. They
lie as Triton's model repositories do, one repository for each model:
`<directory>/<MODEL>/<name>/1/model.onnx`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.serving.samples import SHAPES, served_name

_OPSET = 17
_IR_VERSION = 8
_CLASSES = 10
_WIDTHS = {"S": (16, 64, 64, 3), "W": (1024, 1536, 1536, _CLASSES)}
_CHANNELS = (3, 48, 80, 112, 144, 192, 256)
_SEED = 3


def write_models(directory: Path) -> None:
    """Write the repository of every model that is not there yet."""
    for model in SHAPES:
        path = model_path(directory, model)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_bytes(_BUILDERS[model](model))
            partial.rename(path)


def model_path(directory: Path, model: str) -> Path:
    """Return where a model's file lies."""
    return directory / model / served_name(model) / "1" / "model.onnx"


@dataclass(slots=True)
class _Graph:
    """A chain of nodes that grows at its end."""

    end: str = "x"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    random: np.random.Generator = field(
        default_factory=lambda: np.random.default_rng(_SEED)
    )

    def add(self, kind: str, *weights: str, **attributes: Sequence[int]) -> None:
        """Add a node that takes the chain's end."""
        name = f"n{len(self.nodes)}"
        node = helper.make_node(kind, [self.end, *weights], [name])
        for key, value in attributes.items():
            node.attribute.append(helper.make_attribute(key, value))
        self.nodes.append(node)
        self.end = name

    def weight(self, *shape: int, inputs: int) -> str:
        """Add random weights that keep the signal's size; return their name."""
        values = self.random.standard_normal(shape) / np.sqrt(inputs)
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def serialize(self, model: str, outputs: int) -> bytes:
        """Name the chain's end `y` and return the model's bytes."""
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self.nodes,
            served_name(model),
            [_free_rows("x", SHAPES[model])],
            [_free_rows("y", (outputs,))],
            self.weights,
        )
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )
        onnx.checker.check_model(made)
        return made.SerializeToString(deterministic=True)


def _free_rows(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", *shape])


def _perceptron(model: str) -> bytes:
    graph, widths = _Graph(), _WIDTHS[model]
    for here, there in pairwise(widths):
        if here != widths[0]:
            graph.add("Relu")
        _add_layer(graph, here, there)
    return graph.serialize(model, widths[-1])


def _convolutions(model: str) -> bytes:
    graph = _Graph()
    for number, (here, there) in enumerate(pairwise(_CHANNELS)):
        kernel = graph.weight(there, here, 3, 3, inputs=9 * here)
        stride = 1 + (number % 2 == 0)
        graph.add("Conv", kernel, pads=[1, 1, 1, 1], strides=[stride, stride])
        graph.add("Relu")
    return _mean_and_layer(model, graph, _CHANNELS[-1])


def _mean(model: str) -> bytes:
    return _mean_and_layer(model, _Graph(), SHAPES[model][0])


def _mean_and_layer(model: str, graph: _Graph, channels: int) -> bytes:
    graph.add("GlobalAveragePool")
    graph.add("Flatten")
    _add_layer(graph, channels, _CLASSES)
    return graph.serialize(model, _CLASSES)


def _add_layer(graph: _Graph, here: int, there: int) -> None:
    matrix = graph.weight(here, there, inputs=here)
    graph.add("Gemm", matrix, graph.weight(there, inputs=there))


_BUILDERS = {"S": _perceptron, "M": _convolutions, "T": _mean, "W": _perceptron}
