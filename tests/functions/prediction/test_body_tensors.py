"""Which tensors a body holds, when nobody says what the model is like."""

import json
from contextlib import suppress

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.prediction.body_tensors import JSON_MAX_BYTES, decode_tensors
from packhorse.errors import TensorError
from packhorse.inference.v2 import InferRequest, encode_response
from packhorse.inference.vertex import encode_predictions

BINARY = "application/vnd.vertex-ai-triton.binary+json;json-header-size="
ARRAYS = {
    "f": np.array([[0.1, -2.5e30]], np.float32),
    "h": np.array([1.5], np.float16),
    "b": np.array([1.5], ml_dtypes.bfloat16),
    "i": np.array([2**63 - 1, -1], np.int64),
    "u": np.array([2**64 - 1], np.uint64),
    "t": np.array([True, False]),
    "s": np.array(["", "grüße"], dtype=object),
    "e": np.zeros((0, 3), np.float32),
}


def answer(arrays, binary=()):
    request = InferRequest("id", {}, None, frozenset(binary))
    encoded = encode_response("magika", "2", request, arrays)
    json_bytes = encoded.json_bytes
    return encoded.body, f"{BINARY}{json_bytes}" if json_bytes else "application/json"


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_an_answer_in_json_has_the_tensors_that_a_model_gave():
    same(decode_tensors(*answer(ARRAYS)), ARRAYS)


def test_a_binary_answer_has_them_bit_by_bit_nan_too():
    arrays = {**ARRAYS, "n": np.array([np.nan, np.inf], np.float64)}
    same(decode_tensors(*answer(arrays, arrays)), arrays)


def test_a_binary_answer_may_have_some_in_its_json():
    same(decode_tensors(*answer(ARRAYS, {"f", "s"})), ARRAYS)


def test_a_request_has_its_inputs():
    tensor = {"name": "x", "datatype": "INT8", "shape": [1, 2], "data": [[3, 4]]}
    body = json.dumps({"outputs": [{"name": "y"}], "inputs": [tensor]}).encode()
    same(decode_tensors(body, ""), {"x": np.array([[3, 4]], np.int8)})


def test_null_is_no_number():
    found = decode_tensors(*answer({"y": np.array([1.0, np.nan], np.float32)}))
    np.testing.assert_array_equal(found["y"], np.array([1.0, np.nan], np.float32))


def test_predictions_of_one_output_bear_the_name_of_their_field():
    scores = np.array([[0.25, 0.75]], np.float32)
    found = decode_tensors(encode_predictions({"y": scores}, 1), "")
    same(found, {"predictions": scores.astype(np.float64)})


def test_predictions_of_several_outputs_are_known_by_name():
    arrays = {
        "label": np.array(["pdf", "zip"], dtype=object),
        "score": np.array([0.5, 0.25]),
        "sure": np.array([True, False]),
    }
    same(decode_tensors(encode_predictions(arrays, 2), ""), arrays)


def test_instances_are_numbers_too():
    found = decode_tensors(b'{"instances": [[1, 2.5], [3, null]]}', "")
    np.testing.assert_array_equal(found["instances"], [[1, 2.5], [3, np.nan]])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"GIF89a",
        b"[1]",
        b"{}",
        b'{"outputs": [1]}',
        b'{"predictions": [[1], [1, 2]]}',
        b'{"predictions": [[1, "a"]]}',
        b'{"predictions": ["a", 1]}',
        b'{"predictions": [true, 1.5]}',
        b'{"predictions": [{"a": 1}, {"b": 1}]}',
        b'{"predictions": [{"a": 1}, 1]}',
    ],
    ids=lambda body: body[:60].decode(),
)
def test_what_holds_no_tensors_is_refused_with_one_error(body):
    with pytest.raises(TensorError):
        decode_tensors(body, "application/json")


def test_json_that_is_too_long_to_read_is_refused():
    with pytest.raises(TensorError, match="too long"):
        decode_tensors(b" " * (JSON_MAX_BYTES + 1), "application/json")


def test_raw_bytes_may_be_longer():
    array = np.zeros(JSON_MAX_BYTES, np.float32)
    same(decode_tensors(*answer({"y": array}, {"y"})), {"y": array})


@pytest.mark.parametrize(
    "changes",
    [
        {"datatype": "FP99"},
        {"shape": [3]},
        {"shape": "x"},
        {"shape": [-1]},
        {"shape": [2**40]},
        {"name": 1},
        {"data": ["x"]},
        {"data": None},
        {"datatype": "INT8", "data": [0.5]},
        {"datatype": "INT8", "data": ["1"]},
        {"datatype": "BYTES"},
        {"parameters": {"binary_data_size": 4}},
    ],
    ids=str,
)
def test_a_tensor_that_contradicts_itself_is_refused(changes):
    whole = {"name": "y", "datatype": "FP32", "shape": [1], "data": [1.5]}
    body = json.dumps({"outputs": [whole | changes]}).encode()
    assert decode_tensors(json.dumps({"outputs": [whole]}).encode(), "")
    with pytest.raises(TensorError):
        decode_tensors(body, "")


@pytest.mark.parametrize("size", [3, 5, -4, 4.0, "4"])
def test_bytes_that_are_not_as_many_as_the_tensor_has_are_refused(size):
    parameters = {"binary_data_size": size}
    tensor = {"name": "y", "datatype": "FP32", "shape": [1], "parameters": parameters}
    head = json.dumps({"outputs": [tensor]}).encode()
    with pytest.raises(TensorError):
        decode_tensors(head + bytes(8), f"{BINARY}{len(head)}")


def test_one_long_text_does_not_make_all_others_as_wide():
    body = json.dumps({"predictions": ["x" * 500_000, *["y"] * 100_000]}).encode()
    assert decode_tensors(body, "")["predictions"].shape == (100_001,)


@given(st.binary(max_size=80), st.integers(0, 90))
def test_no_body_raises_anything_else(body, size):
    for content_type in ("", f"{BINARY}{size}"):
        with suppress(TensorError):
            decode_tensors(b'{"outputs": ' + body, content_type)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "datatype", "shape", "data", "parameters"])
            | st.sampled_from(["binary_data_size", "FP32"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(["outputs", "predictions", "inputs", "instances"]), JSON)
def test_no_document_raises_anything_else(key, value):
    with suppress(TensorError):
        decode_tensors(json.dumps({key: value}).encode(), "")
