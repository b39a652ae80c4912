"""Models are run, and hostile ones refused before onnxruntime opens a file."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import ModelError
from edge_runtime.model_files.model_file import read_model_file
from edge_runtime.model_session import ModelSession
from packhorse.manifest import TensorSpec
from tests.models import onnx_bytes, tiny_answer, tiny_model

SECRET = np.arange(8, dtype=np.float32)


@pytest.fixture
def save(tmp_path):
    def save(body, name="model.onnx"):
        (tmp_path / name).write_bytes(body)
        return tmp_path / name

    return save


def external(location, key="location"):
    """Return a tensor whose bytes lie in another file."""
    tensor = numpy_helper.from_array(SECRET, "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for name, value in ((key, location), ("offset", "0"), ("length", "32")):
        entry = tensor.external_data.add()
        entry.key, entry.value = name, value
    return tensor


def add_model(tensor):
    """Return y = x + w with `tensor` as the initializer w."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "add",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [8])],
        [tensor],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def constant_model(tensor):
    """Return y = x + w with `tensor` in a constant inside a branch."""
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["out"], value=tensor)],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [8])],
    )
    return onnx_free(
        [helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)]
    )


def onnx_free(nodes):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [8])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_a_model_says_what_it_takes_and_answers(save):
    session = ModelSession(save(tiny_model(4)))
    got = session.run({"x": np.ones((2, 4), np.float32)})
    assert session.inputs == (TensorSpec("x", "FP32", (-1, 4)),)
    assert session.outputs == (TensorSpec("y", "FP32", (-1, 3)),)
    assert np.allclose(got["y"], tiny_answer(np.ones((2, 4)), 4))


def test_weights_in_a_member_of_the_bundle_are_read(save):
    save(SECRET.tobytes(), "weights.bin")
    session = ModelSession(save(add_model(external("weights.bin")).SerializeToString()))
    got = session.run({"x": np.zeros(8, np.float32)}, ["y"])
    assert np.array_equal(got["y"], SECRET)


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/passwd", "a/b", "..", ".hidden", "", "*/_ORT_MEM_ADDR_/*"],
)
@pytest.mark.parametrize("build", [add_model, constant_model])
def test_a_model_that_names_a_file_elsewhere_is_refused(save, location, build):
    path = save(build(external(location)).SerializeToString())
    with pytest.raises(ModelError, match="plain member name"):
        ModelSession(path)


def test_a_member_that_is_missing_or_a_link_is_refused(save, tmp_path):
    path = save(add_model(external("weights.bin")).SerializeToString())
    with pytest.raises(ModelError, match="which the bundle lacks"):
        ModelSession(path)
    (tmp_path / "weights.bin").symlink_to("/etc/passwd")
    with pytest.raises(ModelError, match="which the bundle lacks"):
        ModelSession(path)


def test_locations_are_found_wherever_a_tensor_can_stand(save):
    model = add_model(external("in_graph.bin"))
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(external("in_sparse.bin"))
    function = model.functions.add()
    node = function.node.add()
    node.attribute.append(helper.make_attribute("value", external("in_function.bin")))
    training = model.training_info.add()
    training.algorithm.initializer.append(external("in_training.bin"))
    many = node.attribute.add()
    many.tensors.append(external("in_list.bin"))
    found = read_model_file(save(model.SerializeToString())).locations
    places = ("graph", "sparse", "function", "training", "list")
    assert found == {f"in_{place}.bin" for place in places}


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00", b"not a model at all", b"\x3a\xff", b"\xff" * 20],
    ids=["empty", "zero", "text", "cut", "varint"],
)
def test_what_is_no_model_is_refused(save, body):
    with pytest.raises(ModelError):
        ModelSession(save(body))


def test_a_field_number_that_other_parsers_would_cut_is_refused(save):
    # 0x3a is the graph's tag; with bit 32 set, C++ would still see the graph.
    body = b"\xba\x80\x80\x80\x10\x00"
    with pytest.raises(ModelError, match="no ONNX model"):
        read_model_file(save(body))


def test_any_cut_of_a_model_is_refused_or_answers_nothing_else(save):
    whole = tiny_model()
    for end in range(1, len(whole), 7):
        with pytest.raises(ModelError):
            ModelSession(save(whole[:end]))


def test_what_is_no_tensor_is_refused_by_name(save):
    sequence = helper.make_tensor_sequence_value_info("xs", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m"])
    node = helper.make_node("ConcatFromSequence", ["xs"], ["y"], axis=0)
    with pytest.raises(ModelError, match="input 'xs' is seq"):
        ModelSession(save(onnx_bytes([node], [sequence], [y])))


def test_a_model_that_fails_while_it_runs_says_so_in_our_words(save):
    x = helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    table = numpy_helper.from_array(np.ones(3, np.float32), "t")
    node = helper.make_node("Gather", ["t", "x"], ["y"])
    session = ModelSession(save(onnx_bytes([node], [x], [y], [table])))
    with pytest.raises(ModelError, match=r"^the model failed while it ran$"):
        session.run({"x": np.array([99], np.int64)})


def test_the_external_tensor_of_these_tests_is_what_onnx_itself_reads(save, tmp_path):
    save(SECRET.tobytes(), "weights.bin")
    path = save(add_model(external("weights.bin")).SerializeToString())
    model = onnx.load(path)
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), SECRET)
