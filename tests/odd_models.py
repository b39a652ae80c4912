"""Models that a server meets seldom, and must get right: as bytes, made on the spot."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from packhorse.golden import GoldenSamples, write_golden
from packhorse.inference.datatypes import numpy_type
from tests.models import onnx_bytes

ONNX_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
"""Every datatype of the protocol that ONNX has."""

tensor = helper.make_tensor_value_info


def weights(name, *shape, seed=0):
    """Return a float initializer."""
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def identity(datatype="FP32", shape=("n", 2)):
    """Return y = x."""
    kind = ONNX_TYPES[datatype]
    node = helper.make_node("Identity", ["x"], ["y"])
    return onnx_bytes([node], [tensor("x", kind, shape)], [tensor("y", kind, shape)])


def golden(datatype, *, is_wrong=False):
    """Return golden samples for `identity`, two rows of two, as npz.

    Args:
        datatype: The protocol's word.
        is_wrong: Whether the second output is not the input.
    """
    if datatype == "BYTES":
        x, other = np.array([["a", "grüß"], ["", "\N{HORSE}"]], object), "other"
    else:
        x, other = np.array([[1, 2], [3, 4]]).astype(numpy_type(datatype)), 9
    y = x.copy()
    if is_wrong:
        y[1, 1] = other
    return write_golden(GoldenSamples({"x": x}, {"y": y}))


def two_inputs(first="n", second="n", out=None):
    """Return total = a + b, where only their first axes' names are given."""
    nodes = [
        helper.make_node("Identity", ["a"], ["copy"]),
        helper.make_node("Add", ["copy", "b"], ["total"]),
    ]
    return onnx_bytes(
        nodes,
        [tensor("a", TensorProto.FLOAT, [first, 3]), _floats("b", second)],
        [_floats("total", out)],
    )


def no_inputs():
    """Return a model that always gives y = [1, 2]."""
    value = numpy_helper.from_array(np.array([1, 2], np.float32))
    node = helper.make_node("Constant", [], ["y"], value=value)
    return onnx_bytes([node], [], [tensor("y", TensorProto.FLOAT, [2])])


def overridable():
    """Return y = x * scale, where scale is 2 unless a request gives another."""
    node = helper.make_node("Mul", ["x", "scale"], ["y"])
    scale = numpy_helper.from_array(np.array([2], np.float32), "scale")
    return onnx_bytes(
        [node],
        [
            tensor("x", TensorProto.FLOAT, ["n"]),
            tensor("scale", TensorProto.FLOAT, [1]),
        ],
        [tensor("y", TensorProto.FLOAT, ["n"])],
        [scale],
    )


def optional_input():
    """Return is_given, which says whether the optional tensor x came."""
    kind = helper.make_optional_type_proto(
        helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])
    )
    node = helper.make_node("OptionalHasElement", ["x"], ["is_given"])
    return onnx_bytes(
        [node],
        [helper.make_value_info("x", kind)],
        [tensor("is_given", TensorProto.BOOL, [])],
        opset=18,
    )


def sequence_output():
    """Return a model whose output is a sequence of tensors."""
    node = helper.make_node("SequenceConstruct", ["x", "x"], ["xs"])
    sequence = helper.make_tensor_sequence_value_info("xs", TensorProto.FLOAT, None)
    return onnx_bytes([node], [_floats("x")], [sequence])


def map_output():
    """Return a model whose output is a sequence of maps, as scikit-learn's are."""
    node = helper.make_node(
        "ZipMap", ["x"], ["scores"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]
    )
    maps = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    graph = helper.make_graph(
        [node],
        "maps",
        [_floats("x")],
        [helper.make_value_info("scores", helper.make_sequence_type_proto(maps))],
    )
    return _unchecked(graph, ("", 17), ("ai.onnx.ml", 1))


def sparse_input():
    """Return a model that takes a sparse tensor."""
    x = helper.make_sparse_tensor_value_info("x", TensorProto.FLOAT, [3, 3])
    dense = tensor("w", TensorProto.FLOAT, [3, 3])
    node = helper.make_node(
        "SparseToDenseMatMul", ["x", "w"], ["y"], domain="com.microsoft"
    )
    y = tensor("y", TensorProto.FLOAT, [3, 3])
    graph = helper.make_graph([node], "sparse", [x, dense], [y])
    return _unchecked(graph, ("", 17), ("com.microsoft", 1))


def unranked():
    """Return y = x, where x has any number of axes."""
    node = helper.make_node("Identity", ["x"], ["y"])
    x, y = (tensor(name, TensorProto.FLOAT, None) for name in "xy")
    return _unchecked(helper.make_graph([node], "unranked", [x], [y]), ("", 17))


def bad_text():
    """Return a model that gives text which is not UTF-8."""
    value = helper.make_tensor("text", TensorProto.STRING, [1], [b"\xff\xfe"])
    node = helper.make_node("Constant", [], ["y"], value=value)
    return onnx_bytes([node], [], [tensor("y", TensorProto.STRING, [1])])


def text_and_half():
    """Return a model with both BYTES and BF16 in its inputs."""
    nodes = [
        helper.make_node("Identity", ["words"], ["same"]),
        helper.make_node("Identity", ["x"], ["y"]),
    ]
    return onnx_bytes(
        nodes,
        [
            tensor("words", TensorProto.STRING, ["n"]),
            tensor("x", TensorProto.BFLOAT16, ["n"]),
        ],
        [
            tensor("same", TensorProto.STRING, ["n"]),
            tensor("y", TensorProto.BFLOAT16, ["n"]),
        ],
    )


def lookup(rows=3):
    """Return y = table[x]: an x past the table makes the run fail."""
    table = numpy_helper.from_array(np.arange(rows, dtype=np.float32), "table")
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    return onnx_bytes(
        [node],
        [tensor("x", TensorProto.INT64, ["n"])],
        [tensor("y", TensorProto.FLOAT, ["n"])],
        [table],
    )


def mlp(width=256, axis="n", out_axis="n"):
    """Return a small network whose rows have nothing to do with each other."""
    return onnx_bytes(
        [
            helper.make_node("MatMul", ["x", "w1"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "w2"], ["y"]),
        ],
        [tensor("x", TensorProto.FLOAT, [axis, width])],
        [tensor("y", TensorProto.FLOAT, [out_axis, 3])],
        [weights("w1", width, width), weights("w2", width, 3)],
    )


def normalised_over_the_batch():
    """Return y = x - mean(x over axis 0)."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return onnx_bytes(nodes, [_floats("x")], [_floats("y")])


def quantised_per_tensor():
    """Return x through 8 bits, with one scale for all rows, and times weights."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["back"]),
        helper.make_node("MatMul", ["back", "w"], ["y"]),
    ]
    return onnx_bytes(nodes, [_floats("x")], [_floats("y")], [weights("w", 3, 3)])


def quantised_label():
    """Return the place of the largest of x, looked for through 8 bits."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["back"]),
        helper.make_node("ArgMax", ["back"], ["label"], axis=1, keepdims=0),
    ]
    label = tensor("label", TensorProto.INT64, ["n"])
    return onnx_bytes(nodes, [_floats("x")], [label])


def scaled_by_the_largest():
    """Return x / max(|x|): what quantisation per tensor is made of."""
    nodes = [
        helper.make_node("Abs", ["x"], ["size"]),
        helper.make_node("ReduceMax", ["size"], ["largest"], keepdims=0),
        helper.make_node("Div", ["x", "largest"], ["y"]),
    ]
    return onnx_bytes(nodes, [_floats("x")], [_floats("y")])


def running_sum():
    """Return sums along axis 0, which is time and no batch."""
    axis = numpy_helper.from_array(np.array(0, np.int64), "axis")
    node = helper.make_node("CumSum", ["x", "axis"], ["y"])
    return onnx_bytes([node], [_floats("x")], [_floats("y")], [axis])


def recurrent(features=4, hidden=3):
    """Return an LSTM over axis 0 with its batch on axis 1."""
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=hidden)
    return onnx_bytes(
        [node],
        [tensor("x", TensorProto.FLOAT, ["time", 1, features])],
        [tensor("y", TensorProto.FLOAT, ["time", 1, 1, hidden])],
        [weights("w", 1, 4 * hidden, features), weights("r", 1, 4 * hidden, hidden)],
    )


def embedded(words=50, width=32):
    """Return the mean embedding of each row's words."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["found"]),
        helper.make_node("ReduceMean", ["found"], ["y"], axes=[1], keepdims=0),
    ]
    return onnx_bytes(
        nodes,
        [tensor("ids", TensorProto.INT64, ["n", 8])],
        [tensor("y", TensorProto.FLOAT, ["n", width])],
        [weights("table", words, width)],
    )


def rolling_dice():
    """Return x plus noise that is another in every run."""
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    return onnx_bytes(nodes, [_floats("x")], [_floats("y")])


def _floats(name, axis="n"):
    return tensor(name, TensorProto.FLOAT, [axis, 3])


def _unchecked(graph, *opsets):
    """Return a model that `onnx` itself cannot check."""
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets]
    model = onnx.helper.make_model(graph, opset_imports=imports)
    model.ir_version = 8
    return model.SerializeToString(deterministic=True)


def greedy():
    """Return a model whose smallest run asks for 64 GB."""
    shape = numpy_helper.from_array(np.array([1 << 17, 1 << 17], np.int64), "shape")
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["wide"]),
        helper.make_node("Exp", ["wide"], ["much"]),
        helper.make_node("ReduceSum", ["much"], ["y"], keepdims=0),
    ]
    return onnx_bytes(
        nodes,
        [tensor("x", TensorProto.FLOAT, [1, 1])],
        [tensor("y", TensorProto.FLOAT, [])],
        [shape],
    )


def endless():
    """Return a model whose every run counts to a number that it never reaches."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["sum", "one"], ["more"]),
        ],
        "count",
        [
            tensor("i", TensorProto.INT64, []),
            tensor("go", TensorProto.BOOL, []),
            tensor("sum", TensorProto.FLOAT, []),
        ],
        [tensor("go_on", TensorProto.BOOL, []), tensor("more", TensorProto.FLOAT, [])],
    )
    constants = {
        "trips": np.array(10**15, np.int64),
        "true": np.array(1, np.bool_),
        "one": np.array(1, np.float32),
    }
    return onnx_bytes(
        [helper.make_node("Loop", ["trips", "true", "x"], ["y"], body=body)],
        [tensor("x", TensorProto.FLOAT, [])],
        [tensor("y", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
