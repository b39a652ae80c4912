"""What an ONNX file must be before a runtime may open it."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from functions.adapters import onnx_rules
from functions.adapters.onnx_rules import read_model
from packhorse.errors import MalformedError
from tests.functions import pushes
from tests.functions.pushes import external, model, node

LOCATIONS = [
    "../../etc/passwd",
    "/etc/passwd",
    "./weights.bin",
    "a/weights.bin",
    "C:\\w",
    "~/w",
    ".hidden",
    "absent.bin",
    "golden.npz",
    "model.onnx",
    "file:///etc/passwd",
    "weights.bin/../weights.bin",
    "*/_ORT_MEM",
    "",
    "w\x00",
    "weights.bin\n",
]


def read(onnx_model, **others):
    content = pushes.files(onnx_model, b"golden", **others)
    lengths = {name: len(body) for name, body in content.items()}
    return read_model(content["model.onnx"], lengths, runtime="1.32.0")


def refused(sentence, onnx_model, **others):
    with pytest.raises(MalformedError, match=sentence):
        read(onnx_model, **others)


@pytest.mark.parametrize(
    "location",
    LOCATIONS,
)
def test_weights_may_lie_in_pushed_files_only(location):
    hostile = model(initializers=[external(location)])
    refused("none of the pushed files", hostile, weights_bin=b"x" * 24)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"offset": 0, "length": 25}, "lies beyond the end"),
        ({"offset": -1}, "is a number, not '-1'"),
        ({"offset": "0x10"}, "is a number"),
        ({"length": "9" * 40}, "is a number"),
        ({"length": 2**40}, "lies beyond the end"),
    ],
)
def test_weights_may_not_lie_beyond_their_file(entries, sentence):
    hostile = model(initializers=[external(**entries)])
    refused(sentence, hostile, weights_bin=b"x" * 24)


def test_weights_hidden_in_an_attribute_are_found():
    hostile = model(
        helper.make_node("Constant", [], ["w"], value=external("../../etc/passwd")),
        node(),
        initializers=[],
    )
    refused("none of the pushed files", hostile)


def test_weights_hidden_in_a_subgraph_are_found():
    inner = helper.make_graph(
        [helper.make_node("Identity", ["s"], ["o"])],
        "inner",
        [],
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)],
        [external("/etc/passwd")],
    )
    choice = helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner)
    hostile = model(
        choice, node(), initializers=[numpy_helper.from_array(np.bool_(1), "c")]
    )
    refused("none of the pushed files", hostile)


@pytest.mark.parametrize(
    "body",
    [b"", b"not a model", b"\x80\x04pickle", b"PK\x03\x04", b"\xff" * 1000],
    ids=["empty", "text", "pickle", "zip", "noise"],
)
def test_what_is_no_model_is_refused(body):
    refused(r"model\.onnx is no ONNX model", body)


def test_an_operator_that_is_code_of_its_own_is_refused():
    hostile = model(
        node(domain="evil.example"), opsets=[helper.make_opsetid("evil.example", 1)]
    )
    refused("of the domain 'evil.example'", hostile)


def test_an_import_that_no_node_uses_is_ignored():
    made = model(opsets=[helper.make_opsetid("com.microsoft", 1)])
    assert read(made).needs.opsets == {"": 17}


def test_a_model_with_functions_of_its_own_is_refused():
    made = model()
    made.functions.add(name="f", domain="mine")
    refused("functions inlined", made)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"opset": 6}, r"opset of ai\.onnx must lie in 7\.\.28, not 6"),
        ({"opset": 29}, "not 29"),
        ({"ir_version": 2}, r"IR version must lie in 3\.\.14, not 2"),
        ({"ir_version": 99}, "not 99"),
    ],
)
def test_a_model_newer_or_older_than_the_runtimes_is_refused(options, sentence):
    refused(sentence, model(**options))


def test_a_tensor_that_declares_more_than_it_holds_is_refused():
    tensor = numpy_helper.from_array(pushes.WEIGHTS, "w")
    tensor.dims[0] = 2**40
    refused("more than the", model(initializers=[tensor]))


def test_a_negative_dimension_is_refused():
    tensor = numpy_helper.from_array(pushes.WEIGHTS, "w")
    tensor.dims[0] = -3
    refused("declares the shape", model(initializers=[tensor]))


def test_subgraphs_nested_too_deep_are_refused():
    graph = model().graph
    for _ in range(12):
        deeper = helper.make_node("Loop", ["n", "c"], ["w"], body=graph)
        graph = helper.make_graph([deeper], "g", [], list(graph.output))
    outer = model()
    outer.graph.node[0].attribute.append(helper.make_attribute("body", graph))
    refused("nest 8 deep", outer)


def test_an_output_that_is_no_tensor_is_refused():
    made = model()
    made.graph.output[0].type.CopyFrom(
        helper.make_sequence_type_proto(
            helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
        )
    )
    refused("must be a tensor with a declared shape", made)


def test_a_graph_of_too_many_nodes_is_refused(monkeypatch):
    monkeypatch.setattr(onnx_rules, "NODES_MAX", 3)
    chain = [node("Relu", ("x",), ("x1",)), node("Relu", ("x1",), ("x2",))]
    last = node(inputs=("x2", "w"))
    assert read(model(*chain, last)).inputs
    refused("may have 3 nodes", model(*chain, last, node("Relu", ("y",), ("z",))))


def test_inputs_that_have_a_value_are_no_inputs():
    made = model()
    made.graph.input.append(
        helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2])
    )
    assert [spec.name for spec in read(made).inputs] == ["x"]


def test_a_new_operator_set_asks_for_the_runtime_that_tried_it():
    assert read(model(opset=24)).needs.min_onnxruntime == "1.32.0"


def test_a_newer_ir_asks_for_a_newer_runtime_too():
    assert read(model(opset=17, ir_version=10)).needs.min_onnxruntime == "1.18.0"


def test_an_element_type_without_a_name_in_the_protocol_is_refused():
    made = model()
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.COMPLEX64
    refused("has no name in the inference protocol", made)


def test_a_node_of_a_domain_that_is_not_imported_is_refused():
    refused("imports no opset", model(node("Scaler", domain="ai.onnx.ml")))


def test_sparse_weights_are_looked_at_too():
    made = model()
    sparse = made.graph.sparse_initializer.add()
    sparse.values.CopyFrom(external("/etc/passwd"))
    refused("none of the pushed files", made)


def test_sparse_attributes_are_looked_at_too():
    made = model()
    attribute = made.graph.node[0].attribute.add(name="sparse")
    attribute.sparse_tensor.values.CopyFrom(external("/etc/passwd"))
    refused("none of the pushed files", made)
