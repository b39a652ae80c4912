"""The Open Inference Protocol, both ways."""

import contextlib
import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse.errors import LimitExceededError, MalformedError, TensorError
from packhorse.inference.binary import encode_bytes
from packhorse.inference.datatypes import datatype_of
from packhorse.inference.signature import LAYOUTS_MAX, Signature
from packhorse.inference.v2 import (
    InferRequest,
    decode_request,
    encode_response,
    encode_specs,
)
from packhorse.manifest import TensorSpec
from tests.packhorse.inference.arrays import arrays, is_same


def signature(*specs, outputs=("y", "z"), optional=()):
    return Signature(
        {spec.name: spec for spec in specs},
        {name: TensorSpec(name, "FP32", (-1,)) for name in outputs},
        frozenset(optional),
    )


X_SPEC = TensorSpec("x", "FP32", (-1, 2))
IDS_SPEC = TensorSpec("ids", "INT64", (-1,))
BOTH = signature(X_SPEC, IDS_SPEC)
X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}
IDS = {"name": "ids", "datatype": "INT64", "shape": [1], "data": [2**63 - 1]}
NO_REQUEST = InferRequest("", {}, None)

FIELDS = ["inputs", "outputs", "name", "shape", "datatype", "data", "parameters", "x"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*FIELDS, "id", "binary_data_size", "timeout_ms"]),
            inner,
            max_size=4,
        )
    ),
)


def decode(document, binary=None, model=BOTH):
    view = None if binary is None else memoryview(binary)
    return decode_request(json.loads(json.dumps(document)), model, view)


def raw(name, size, datatype="FP32", shape=(1, 2)):
    return {
        "name": name,
        "datatype": datatype,
        "shape": list(shape),
        "parameters": {"binary_data_size": size},
    }


def test_a_request_gives_arrays_by_name():
    request = decode({"id": "7", "inputs": [X, IDS], "outputs": [{"name": "z"}]})

    assert request.id == "7"
    assert request.inputs["x"].tolist() == [[1.0, 2.5]]
    assert request.inputs["ids"].tolist() == [2**63 - 1]
    assert request.outputs == ("z",)
    assert request.binary == frozenset()
    assert request.timeout_s is None


def test_without_outputs_all_are_asked_for():
    assert decode({"inputs": [X, IDS]}).outputs is None
    assert decode({"inputs": [X, IDS], "outputs": [], "id": None}).outputs is None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "'inputs', which is missing"),
        ({"inputs": {}}, "'inputs', came an object"),
        ({"inputs": [X]}, "'ids' is missing"),
        ({"inputs": [X, X, IDS]}, "twice"),
        ({"inputs": [X, {**IDS, "name": "idz"}]}, "came 'idz'"),
        ({"inputs": [X, {**IDS, "name": ["ids"]}]}, "came a list"),
        ({"inputs": [X, {"shape": [1], "data": [1]}]}, "came null"),
        ({"inputs": [X, {**IDS, "datatype": "INT32"}]}, "expected the datatype INT64"),
        ({"inputs": [X, {**IDS, "datatype": {}}]}, "came an object"),
        ({"inputs": [X, {"name": "ids", "data": [1]}]}, "INT64, came null"),
        ({"inputs": [X, {**IDS, "shape": [2]}]}, "holds 2 elements, came 1"),
        ({"inputs": [X, {**IDS, "shape": [True]}]}, "came true"),
        ({"inputs": [X, {**IDS, "shape": [1.0]}]}, "came 1.0"),
        ({"inputs": [X, {**IDS, "data": None}]}, "must be a list, came null"),
        ({"inputs": [X, 5]}, "must be an object, came 5"),
        ({"inputs": [X, IDS], "outputs": [{"name": "w"}]}, "came 'w'"),
        ({"inputs": [X, IDS], "outputs": [{"name": []}]}, "came a list"),
        ({"inputs": [X, IDS], "outputs": ["y"]}, "came null"),
        ({"inputs": [X, IDS], "outputs": [{"name": "y"}] * 2}, "asked for twice"),
        ({"inputs": [X, IDS], "outputs": {}}, "'outputs' must be a list"),
        ({"inputs": [X, IDS], "outputs": [{}] * 2000}, "'outputs' must be a list"),
        ({"inputs": [X, IDS], "id": 5}, "'id'"),
        ({"inputs": [X, IDS], "id": "a" * 257}, "'id'"),
        ({"inputs": [X, IDS], "parameters": []}, "'parameters'"),
        ({"inputs": [X, {**IDS, "parameters": 5}]}, "'ids': 'parameters'"),
        (
            {
                "inputs": [X, IDS],
                "outputs": [{"name": "y", "parameters": {"classification": 3}}],
            },
            "'y': the parameter 'classification'",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_a_sentence(document, words):
    for _ in range(2):
        with pytest.raises(TensorError, match=words):
            decode(document)
        decode({"inputs": [X, IDS]})


def test_a_shape_that_only_equals_a_remembered_one_is_refused():
    decode({"inputs": [X, IDS]})
    for shape in ([1.0, 2], [True, 2], ["1", 2], [[1], 2]):
        with pytest.raises(TensorError, match="a shape holds lengths"):
            decode({"inputs": [{**X, "shape": shape}, IDS]})


def test_a_model_remembers_a_bounded_number_of_shapes():
    model = signature(IDS_SPEC)
    for length in range(LAYOUTS_MAX + 50):
        tensor = {**IDS, "shape": [length], "data": [5] * length}
        assert decode({"inputs": [tensor]}, model=model).inputs["ids"].size == length
        assert len(model.layouts) <= LAYOUTS_MAX


def test_an_optional_input_may_be_left_out():
    model = signature(X_SPEC, IDS_SPEC, optional={"ids"})
    assert set(decode({"inputs": [X]}, model=model).inputs) == {"x"}
    with pytest.raises(TensorError, match="'x' is missing"):
        decode({"inputs": [IDS]}, model=model)


@pytest.mark.parametrize("document", [{}, {"inputs": []}, {"inputs": None}])
def test_a_model_may_take_no_inputs(document):
    assert decode(document, model=signature()).inputs == {}


def test_scalars_and_empty_tensors_are_taken():
    model = signature(TensorSpec("s", "FP64", ()), TensorSpec("e", "INT8", (-1, 4)))
    scalar = {"name": "s", "datatype": "FP64", "shape": [], "data": [0.1]}
    empty = {"name": "e", "datatype": "INT8", "shape": [0, 4], "data": []}

    got = decode({"inputs": [scalar, empty]}, model=model).inputs

    assert got["s"].shape == ()
    assert got["s"] == 0.1
    assert got["e"].shape == (0, 4)


def test_binary_tensors_follow_the_json_in_the_order_of_the_inputs():
    body = np.array([7], np.int64).tobytes() + np.array([1, 2], np.float32).tobytes()
    inputs = [raw("ids", 8, "INT64", (1,)), raw("x", 8)]

    got = decode({"inputs": inputs}, body).inputs

    assert got["ids"].tolist() == [7]
    assert got["x"].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("body", [None, b""])
def test_an_empty_tensor_may_say_that_no_bytes_follow(body):
    # KServe's client writes it so: with null for data, and no header.
    empty = {**raw("x", 0, shape=(0, 2)), "data": None}

    assert decode({"inputs": [empty, IDS]}, body).inputs["x"].shape == (0, 2)


def test_binary_and_json_tensors_mix():
    got = decode({"inputs": [raw("x", 8), IDS]}, bytes(8)).inputs
    assert got["x"].tolist() == [[0.0, 0.0]]
    assert got["ids"].tolist() == IDS["data"]


@pytest.mark.parametrize(
    ("inputs", "body", "words"),
    [
        ([raw("x", 8), IDS], None, "Inference-Header-Content-Length"),
        ([raw("x", 8), IDS], bytes(7), "8 bytes are to follow, came 7"),
        ([raw("x", 7), IDS], bytes(7), "takes 8 bytes, came 7"),
        ([raw("x", 8), IDS], bytes(9), "1 bytes follow that belong to no input"),
        ([X, IDS], b"a", "1 bytes follow"),
        ([raw("x", -8), IDS], bytes(8), "a number of bytes, came -8"),
        ([raw("x", size=True), IDS], bytes(8), "a number of bytes, came true"),
        ([raw("x", 8.0), IDS], bytes(8), "a number of bytes, came 8.0"),
        ([{**raw("x", 8), "data": [1, 2]}, IDS], bytes(8), "came both"),
        ([raw("x", 8), raw("ids", 8, "INT64", (1,))], bytes(12), "came 4"),
        ([raw("x", 8), raw("x", 8), IDS], bytes(16), "twice"),
        ([{**X, "parameters": {"shared_memory_region": "r"}}, IDS], None, "shared"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(inputs, body, words):
    with pytest.raises(TensorError, match=words):
        decode({"inputs": inputs}, body)


@given(tensors=st.lists(arrays(), max_size=4), data=st.data())
def test_any_tensors_survive_in_json_and_in_bytes_at_once(tensors, data):
    named = {f"t{index}": array for index, array in enumerate(tensors)}
    model = signature(
        *(
            TensorSpec(name, datatype_of(array.dtype), (-1,) * array.ndim)
            for name, array in named.items()
        )
    )
    entries, body = [], b""
    for name, array in named.items():
        spec = model.inputs[name]
        blob = bytes(encode_bytes(array))
        is_json = array.dtype.kind in "biuO" and data.draw(st.booleans())
        entry = raw(name, len(blob), spec.datatype, array.shape)
        if is_json:
            entry |= {"data": array.reshape(-1).tolist(), "parameters": {}}
        entries.append(entry)
        body += b"" if is_json else blob

    got = decode({"inputs": entries}, body, model).inputs

    assert all(is_same(got[name], array) for name, array in named.items())


@pytest.mark.parametrize(
    ("document", "outputs", "binary"),
    [
        ({"parameters": {"binary_data_output": True}}, None, {"y", "z"}),
        ({"parameters": {"binary_data_output": False}}, None, set()),
        ({"outputs": [{"name": "z", "parameters": None}]}, ("z",), set()),
        (
            {"outputs": [{"name": "z", "parameters": {"binary_data": True}}]},
            ("z",),
            {"z"},
        ),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [
                    {"name": "z"},
                    {"name": "y", "parameters": {"binary_data": False}},
                ],
            },
            ("z", "y"),
            {"z"},
        ),
    ],
)
def test_each_output_is_sent_as_it_is_asked_for(document, outputs, binary):
    request = decode({"inputs": [X, IDS], **document})
    assert request.outputs == outputs
    assert request.binary == binary


def test_the_client_says_how_long_it_waits():
    assert decode({"inputs": [X, IDS], "parameters": {"timeout": 5000}}).timeout_s == (
        0.005
    )


@given(document=JSON, binary=st.none() | st.binary(max_size=9))
def test_no_json_makes_it_raise_anything_else(document, binary):
    for request in (document, {"inputs": [document, IDS]}, {"inputs": document}):
        if not isinstance(request, dict):
            continue
        with pytest.raises(MalformedError):
            decode_request(request, BOTH, binary and memoryview(binary))


@given(extra=JSON, field=st.sampled_from(["outputs", "parameters", "id"]))
def test_no_field_beside_the_inputs_makes_it_raise_anything_else(extra, field):
    with contextlib.suppress(MalformedError):
        decode_request({"inputs": [X, IDS], field: extra}, BOTH)


def test_too_many_elements_are_refused_before_they_are_read():
    with pytest.raises(LimitExceededError):
        decode({"inputs": [{**X, "shape": [2**30, 2]}, IDS]})


@given(array=arrays())
def test_a_response_says_type_shape_and_every_element(array):
    body, json_bytes = encode_response("m", "3", NO_REQUEST, {"y": array})

    document = json.loads(body)
    assert json_bytes is None
    (output,) = document["outputs"]
    assert (document["model_name"], document["model_version"]) == ("m", "3")
    assert (output["name"], output["datatype"]) == ("y", datatype_of(array.dtype))
    assert tuple(output["shape"]) == array.shape
    flat = array.reshape(-1).tolist()
    want = [None if isinstance(v, float) and not np.isfinite(v) else v for v in flat]
    if array.dtype.kind in "fV":
        back = [v if v is None else array.dtype.type(v) for v in output["data"]]
        assert back == want
    else:
        assert output["data"] == want


@given(tensors=st.lists(arrays(), max_size=4), data=st.data())
def test_a_response_in_bytes_is_exact_and_mixes_with_json(tensors, data):
    outputs = {f"t{index}": array for index, array in enumerate(tensors)}
    binary = data.draw(st.sets(st.sampled_from(sorted(outputs)))) if outputs else set()
    request = InferRequest('a"\u00e9', {}, None, frozenset(binary))

    body, json_bytes = encode_response("m", "1", request, outputs)

    assert (json_bytes is not None) == bool(binary)
    at = len(body) if json_bytes is None else json_bytes
    document = json.loads(body[:at])
    assert document["id"] == request.id
    assert [output["name"] for output in document["outputs"]] == list(outputs)
    for output in document["outputs"]:
        assert ("data" in output) == (output["name"] not in binary)
        if output["name"] in binary:
            size = output["parameters"]["binary_data_size"]
            assert body[at : at + size] == encode_bytes(outputs[output["name"]])
            at += size
    assert at == len(body)


def test_large_raw_outputs_stand_whole_behind_the_json():
    array = np.arange(5000, dtype=np.float64).reshape(50, 100)
    request = InferRequest("", {}, None, frozenset({"y"}))

    body, json_bytes = encode_response("m", "1", request, {"y": array})

    assert np.array_equal(np.frombuffer(body[json_bytes:]).reshape(50, 100), array)


def test_nan_and_infinities_are_written_as_null():
    array = np.array([np.nan, np.inf, -np.inf, 1.5], np.float32)
    body = encode_response("m", "1", NO_REQUEST, {"y": array}).body
    assert json.loads(body)["outputs"][0]["data"] == [None, None, None, 1.5]


def test_text_and_turned_arrays_are_written_in_row_major_order():
    words = np.array([["a", "b"], ["c", "d"]], dtype=object)
    turned = np.arange(6, dtype=np.int64).reshape(2, 3).T
    outputs = {"w": words, "t": turned}

    text, numbers = orjson.loads(encode_response("m", "1", NO_REQUEST, outputs).body)[
        "outputs"
    ]

    assert (text["datatype"], text["data"]) == ("BYTES", ["a", "b", "c", "d"])
    assert numbers["data"] == [0, 3, 1, 4, 2, 5]


def test_a_models_tensors_are_described_in_the_protocols_words():
    described = encode_specs([X_SPEC])

    assert described == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
