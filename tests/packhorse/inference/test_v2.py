"""The Open Inference Protocol in JSON, both ways."""

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from packhorse.errors import MalformedError, TensorError
from packhorse.inference.tensors import NUMPY_TYPES
from packhorse.inference.v2 import (
    decode_body,
    decode_request,
    encode_response,
    encode_specs,
)
from packhorse.manifest import TensorSpec
from packhorse.names import Release

INPUTS = {
    "x": TensorSpec("x", "FP32", (-1, 2)),
    "ids": TensorSpec("ids", "INT64", (-1,)),
}
OUTPUTS = {name: TensorSpec(name, "FP32", (-1,)) for name in ("y", "z")}
X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}
IDS = {"name": "ids", "datatype": "INT64", "shape": [1], "data": [2**63 - 1]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["inputs", "name", "shape", "datatype", "data", "x"]),
            inner,
            max_size=4,
        )
    ),
)


def decode(document):
    return decode_request(decode_body(json.dumps(document).encode()), INPUTS, OUTPUTS)


def test_a_request_gives_arrays_by_name():
    request = decode({"id": "7", "inputs": [X, IDS], "outputs": [{"name": "z"}]})

    assert request.id == "7"
    assert request.inputs["x"].tolist() == [[1.0, 2.5]]
    assert request.inputs["ids"].tolist() == [2**63 - 1]
    assert request.outputs == ("z",)


def test_without_outputs_all_are_asked_for():
    assert decode({"inputs": [X, IDS]}).outputs is None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "JSON object"),
        ({}, "'inputs'"),
        ({"inputs": [X]}, "'ids' is missing"),
        ({"inputs": [X, X, IDS]}, "twice"),
        ({"inputs": [X, {**IDS, "name": "idz"}]}, "came 'idz'"),
        ({"inputs": [X, {**IDS, "datatype": "INT32"}]}, "expected the datatype INT64"),
        ({"inputs": [X, {**IDS, "shape": [2]}]}, "holds 2 elements, came 1"),
        ({"inputs": [X, 5]}, "must be an object"),
        ({"inputs": [X, IDS], "outputs": [{"name": "w"}]}, "came 'w'"),
        ({"inputs": [X, IDS], "outputs": {}}, "'outputs' must be a list"),
        ({"inputs": [X, IDS], "id": 5}, "'id'"),
        ({"inputs": [X, IDS], "id": "a" * 257}, "'id'"),
        ({"inputs": [X, IDS], "parameters": []}, "'parameters'"),
    ],
)
def test_a_wrong_request_is_refused_with_a_sentence(document, words):
    with pytest.raises(TensorError, match=words):
        decode(document)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b'{"a":NaN}', b"\xff", b"[" * 5000]
)
def test_what_is_no_json_is_refused(body):
    with pytest.raises(TensorError, match="must be JSON"):
        decode_body(body)


@given(document=JSON)
def test_no_json_makes_it_raise_anything_else(document):
    body = orjson.dumps(document) if _is_small(document) else b"{}"
    try:
        decode_request(decode_body(body), INPUTS, OUTPUTS)
    except MalformedError:
        pass
    else:
        raise AssertionError("only a request with both inputs is one")


@given(
    array=np_st.arrays(
        st.sampled_from([d for d in NUMPY_TYPES.values() if d.kind != "O"]),
        np_st.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
def test_a_response_says_type_shape_and_every_element(array):
    body = encode_response(Release("m", 3), "", {"y": array})

    document = json.loads(body)
    (output,) = document["outputs"]
    assert (document["model_name"], document["model_version"]) == ("m", "3")
    assert tuple(output["shape"]) == array.shape
    want = [v if np.isfinite(v) else None for v in array.reshape(-1)]
    got = [v if v is None else array.dtype.type(v) for v in output["data"]]
    assert got == want


def test_nan_and_infinities_are_written_as_null():
    array = np.array([np.nan, np.inf, -np.inf, 1.5], np.float32)
    body = encode_response(Release("m", 1), "id-1", {"y": array})
    document = json.loads(body)
    assert document["id"] == "id-1"
    assert document["outputs"][0]["data"] == [None, None, None, 1.5]


def test_text_and_turned_arrays_are_written_in_row_major_order():
    words = np.array([["a", "b"], ["c", "d"]], dtype=object)
    turned = np.arange(6, dtype=np.int64).reshape(2, 3).T
    document = json.loads(
        encode_response(Release("m", 1), "", {"w": words, "t": turned})
    )
    text, numbers = document["outputs"]
    assert (text["datatype"], text["data"]) == ("BYTES", ["a", "b", "c", "d"])
    assert numbers["data"] == [0, 3, 1, 4, 2, 5]


def test_text_that_came_as_bytes_is_written_as_text():
    words = np.array([b"a", b"\xff"], dtype=object)

    (text,) = json.loads(encode_response(Release("m", 1), "", {"w": words}))["outputs"]

    assert text["data"] == ["a", "\N{REPLACEMENT CHARACTER}"]


def test_a_models_tensors_are_described_in_the_protocols_words():
    described = encode_specs([INPUTS["x"]])

    assert described == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]


def _is_small(document):
    try:
        orjson.dumps(document)
    except TypeError:
        return False
    return True
