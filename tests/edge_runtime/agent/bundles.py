"""Small real models in real bundles: three numbers in, three numbers out."""

import hashlib
import io

import numpy as np
from onnx import TensorProto, helper

from packhorse.assignment import Offer
from packhorse.bundle import write_bundle
from packhorse.golden import GoldenSamples, write_golden
from packhorse.manifest import Manifest, Member, RuntimeNeeds, TensorSpec
from packhorse.names import Release

ROW = np.array([[1.0, 4.0, 9.0], [16.0, 25.0, 36.0]], np.float32)


def scaled(factor):
    """Nodes of a model that multiplies."""
    value = helper.make_tensor("f", TensorProto.FLOAT, [], [factor])
    return [
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Mul", ["x", "c"], ["y"]),
    ]


def square_root():
    """Nodes of a model that is NaN on negative numbers, which no sample holds."""
    return [helper.make_node("Sqrt", ["x"], ["y"])]


def not_a_number():
    """Nodes of a model that is NaN on everything."""
    return [
        helper.make_node("Sub", ["x", "x"], ["z"]),
        helper.make_node("Div", ["z", "z"], ["y"]),
    ]


def endless():
    """Nodes of a model that counts further than anybody waits."""
    count = helper.make_tensor("n", TensorProto.INT64, [], [2**62])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["v"], ["w"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    return [
        helper.make_node("Constant", [], ["n"], value=count),
        helper.make_node("Loop", ["n", "", "x"], ["y"], body=body),
    ]


def endless_below_zero():
    """Nodes of a model that copies, and never ends where a number is below zero."""
    nodes = endless()
    nodes[-1].output[0] = "never"
    never = helper.make_graph(
        nodes,
        "never",
        [],
        [helper.make_tensor_value_info("never", TensorProto.FLOAT, None)],
    )
    copy = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["copy"])],
        "copy",
        [],
        [helper.make_tensor_value_info("copy", TensorProto.FLOAT, None)],
    )
    zero = helper.make_tensor("z", TensorProto.FLOAT, [], [0.0])
    return [
        helper.make_node("Constant", [], ["zero"], value=zero),
        helper.make_node("ReduceMin", ["x"], ["least"], keepdims=0),
        helper.make_node("Less", ["least", "zero"], ["is_below"]),
        helper.make_node(
            "If", ["is_below"], ["y"], then_branch=never, else_branch=copy
        ),
    ]


def greedy():
    """Nodes of a model that wants sixteen gigabytes before it answers."""
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [2**20, 2**12])
    return [
        helper.make_node("Constant", [], ["s"], value=shape),
        helper.make_node("ConstantOfShape", ["s"], ["big"]),
        helper.make_node("ReduceMax", ["big"], ["m"], keepdims=0),
        helper.make_node("Add", ["x", "m"], ["y"]),
    ]


def onnx_bytes(nodes):
    shape = ["n", 3]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(
        graph, ir_version=8, opset_imports=opsets
    ).SerializeToString()


def make_offer(repository, version, *model, **details):
    """Publish the bundle of a release; return what a rollout offers of it."""
    made = release(version)
    bundle = repository.publish_bundle(made, make_bundle(made, *model, **details))
    return Offer(made, {"fp32": bundle})


def make_bundle(release, nodes=None, *, expected=None, padding=b"", **changes):
    """Return the bytes of a bundle; its golden outputs are `expected`.

    Args:
        release: What it is; it multiplies by its version, unless there are `nodes`.
        nodes: The model's.
        expected: Golden outputs, where those are others.
        padding: Contents of one more member.
        changes: Fields of the manifest.
    """
    model = onnx_bytes(scaled(float(release.version)) if nodes is None else nodes)
    outputs = ROW * release.version if expected is None else expected
    golden = write_golden(
        GoldenSamples(inputs={"x": ROW}, outputs={"y": outputs.astype(np.float32)})
    )
    files = {"model.onnx": model, "golden.npz": golden}
    if padding:
        files["padding.bin"] = padding
    return bundle_of(release, files, **changes)


def bundle_of(release, files, **changes):
    """Return the bytes of a bundle that holds these files."""
    fields = {
        "release": release,
        "variant": "fp32",
        "source_digest": "sha256:" + "0" * 64,
        "members": tuple(
            Member(name, len(body), hashlib.sha256(body).hexdigest())
            for name, body in files.items()
        ),
        "inputs": (TensorSpec("x", "FP32", (-1, 3)),),
        "outputs": (TensorSpec("y", "FP32", (-1, 3)),),
        "needs": RuntimeNeeds(8, {"": 17}, "1.15.0"),
    }
    manifest = Manifest(**fields | changes)
    out = io.BytesIO()
    write_bundle(manifest, {n: io.BytesIO(b) for n, b in files.items()}, out)
    return out.getvalue()


def release(version):
    return Release("magika", version)
