"""Every datatype and shape that ONNX Runtime runs is carried, the rest is refused."""

import ml_dtypes
import numpy as np
import pytest

from edge_runtime.errors import ModelError, OverrunError
from edge_runtime.model_session import ModelSession
from edge_runtime.run_watch import RunWatch
from packhorse.manifest import DATATYPES, TensorSpec
from tests import odd_models

VALUES = {
    "BOOL": [True, False],
    "UINT64": [0, 2**64 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP64": [5e-324, -np.inf],
    "FP32": [np.nan, 3.4e38],
    "FP16": [65504.0, -0.0],
    "BF16": [3.0e38, -1.5],
    "BYTES": ["", "schön \U0001f40e\0"],
}
TYPES = {"BF16": ml_dtypes.bfloat16, "FP16": np.float16, "FP32": np.float32}
TYPES |= {"FP64": np.float64, "BYTES": np.object_, "BOOL": np.bool_}


@pytest.fixture
def load(tmp_path):
    def load(body):
        path = tmp_path / "model.onnx"
        path.write_bytes(body)
        return ModelSession(path)

    return load


def array(datatype, shape):
    values = VALUES.get(datatype, [1, 2])
    dtype = TYPES.get(datatype, datatype.lower())
    count = int(np.prod(shape))
    return np.resize(np.array(values, dtype), count).reshape(shape)


def content(array):
    """Return what is equal for equal bits, NaN and minus zero included."""
    return array.tolist() if array.dtype == np.object_ else array.tobytes()


@pytest.mark.parametrize("shape", [(3, 2), (0, 2), ()], ids=["rows", "empty", "scalar"])
@pytest.mark.parametrize("datatype", sorted(DATATYPES))
def test_every_datatype_comes_back_as_it_went_in(load, datatype, shape):
    declared = ("n", 2) if shape else ()
    session = load(odd_models.identity(datatype, declared))
    x = array(datatype, shape)

    y = session.run({"x": x})["y"]

    assert session.signature.inputs["x"].datatype == datatype
    assert (y.shape, y.dtype) == (shape, x.dtype)
    assert content(y) == content(x)


def test_half_floats_from_anywhere_in_memory_are_carried(load):
    session = load(odd_models.identity("BF16"))
    x = np.arange(16, dtype=np.float32).astype(ml_dtypes.bfloat16).reshape(2, 8).T[::2]
    y = session.run({"x": x})["y"]
    assert np.array_equal(x, y)
    assert y.flags.owndata


@pytest.mark.parametrize(
    "given",
    [
        np.array([["a", "é"]], np.object_),
        np.array([[b"a", "é".encode()]], np.object_),
        np.array([["a", "é"]]),
        np.array([[b"a", "é".encode()]]),
    ],
    ids=["strings", "bytes", "fixed strings", "fixed bytes"],
)
def test_text_means_the_same_however_numpy_holds_it(load, given):
    session = load(odd_models.identity("BYTES"))
    assert session.run({"x": given})["y"].tolist() == [["a", "é"]]


def test_fixed_bytes_that_fill_their_room_are_not_read_beyond_it(load):
    session = load(odd_models.identity("BYTES"))
    full = np.array([[b"xx", b"yy"]], "S2")
    assert session.run({"x": full})["y"].tolist() == [["xx", "yy"]]


def test_text_that_is_not_utf_8_is_refused_on_its_way_in(load):
    session = load(odd_models.identity("BYTES"))
    with pytest.raises(ModelError, match="an input's text must be UTF-8"):
        session.run({"x": np.array([[b"\xff", "a"]], np.object_)})


def test_text_that_is_not_utf_8_is_refused_on_its_way_out(load):
    session = load(odd_models.bad_text())
    with pytest.raises(ModelError, match="text that is not UTF-8"):
        session.run({})


def test_a_model_may_take_nothing(load):
    session = load(odd_models.no_inputs())
    assert session.inputs == ()
    assert session.run({})["y"].tolist() == [1.0, 2.0]


def test_a_value_that_the_model_has_for_itself_may_be_replaced(load):
    session = load(odd_models.overridable())
    x = np.array([3.0], np.float32)

    assert session.signature.optional == {"scale"}
    assert session.inputs == (TensorSpec("x", "FP32", (-1,)),)
    assert session.run({"x": x})["y"].tolist() == [6.0]
    assert session.run({"x": x, "scale": x})["y"].tolist() == [9.0]


def test_an_input_of_an_optional_type_may_be_left_out(load):
    session = load(odd_models.optional_input())
    assert session.signature.optional == {"x"}
    assert session.signature.inputs["x"] == TensorSpec("x", "FP32", (-1,))
    assert session.run({})["is_given"].tolist() is False
    assert session.run({"x": np.ones(2, np.float32)})["is_given"].tolist() is True


def test_only_the_outputs_that_are_wanted_come(load):
    session = load(odd_models.two_inputs())
    x = np.ones((2, 3), np.float32)
    assert list(session.run({"a": x, "b": x}, ("total",))) == ["total"]
    assert list(session.run({"a": x, "b": x}, ())) == ["total"]


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (odd_models.sequence_output, r"output 'xs' is seq\(tensor\(float\)\)"),
        (odd_models.map_output, r"output 'scores' is seq\(map\("),
        (odd_models.sparse_input, r"input 'x' is sparse_tensor\(float\)"),
        (odd_models.unranked, "input 'x' must say how many axes it has"),
        (odd_models.text_and_half, "BF16 that takes BYTES"),
    ],
    ids=["sequence", "map", "sparse", "unranked", "text and half"],
)
def test_what_no_protocol_can_carry_is_refused_by_name(load, build, sentence):
    with pytest.raises(ModelError, match=sentence):
        load(build())


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"x": np.ones((1, 2), np.float64)},
        {"x": np.ones((1, 3), np.float32)},
        {"x": np.ones((1, 2), np.float32), "z": np.ones(1, np.float32)},
        {"x": None},
        {"x": object()},
        {"x": np.array([[1, 2]], "O")},
        {"x": np.array([[1, 2]], "c8")},
    ],
    ids=["nothing", "type", "shape", "unknown", "none", "object", "objects", "complex"],
)
def test_what_the_decoder_should_have_caught_is_still_an_error_of_ours(load, inputs):
    session = load(odd_models.identity())
    with pytest.raises(ModelError):
        session.run(inputs)


def test_a_failing_run_writes_nothing_and_its_sentence_says_nothing_of_the_model(
    load, capfd
):
    session = load(odd_models.lookup())
    with pytest.raises(ModelError, match=r"^the model failed while it ran$"):
        session.run({"x": np.array([99])})
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_one_run_may_be_given_less_time_than_others(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(odd_models.endless())
    session = ModelSession(path, watch=RunWatch(30.0))
    with pytest.raises(OverrunError, match=r"stopped after 0\.1 s"):
        session.run({"x": np.zeros((), np.float32)}, limit_s=0.1)
