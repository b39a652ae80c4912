"""Vertex AI's instances and predictions."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from packhorse.errors import LimitExceededError, TensorError
from packhorse.inference.vertex import (
    INSTANCES_MAX,
    decode_instances,
    encode_predictions,
)
from packhorse.manifest import TensorSpec

ONE = {"x": TensorSpec("x", "FP32", (-1, 2))}
SCALARS = {"x": TensorSpec("x", "INT64", (-1,))}
TWO = {**ONE, "n": TensorSpec("n", "INT64", (-1,))}


@pytest.mark.parametrize(
    ("inputs", "instances", "expected"),
    [
        (ONE, [[1, 2], [3, 4]], {"x": [[1, 2], [3, 4]]}),
        (ONE, [{"x": [1, 2]}], {"x": [[1, 2]]}),
        (SCALARS, [1, 2, 3], {"x": [1, 2, 3]}),
        (TWO, [{"x": [1, 2], "n": 5}], {"x": [[1, 2]], "n": [5]}),
    ],
    ids=["lists", "object", "bare values", "two inputs"],
)
def test_instances_become_one_array_an_input(inputs, instances, expected):
    got = decode_instances({"instances": instances, "parameters": {}}, inputs)
    assert {name: array.tolist() for name, array in got.items()} == expected


@pytest.mark.parametrize(
    ("inputs", "document", "words"),
    [
        (ONE, {}, "'instances'"),
        (ONE, {"instances": []}, "'instances'"),
        (ONE, {"instances": 5}, "'instances'"),
        (ONE, {"instances": [[1, 2], [3]]}, "nested lists"),
        (ONE, {"instances": [[1, 2, 3]]}, "expected the shape"),
        (ONE, {"instances": [[1, 2], {"x": [1, 2]}]}, "instance 0"),
        (ONE, {"instances": [{"x": [1, 2], "z": 1}]}, "came"),
        (ONE, {"instances": [[1, None]]}, "is null"),
        (TWO, {"instances": [[1, 2]]}, "object with the inputs"),
        (ONE, {"instances": [[1, 2]], "parameters": 5}, "'parameters'"),
        ({"x": TensorSpec("x", "FP32", ())}, {"instances": [1]}, "no batch axis"),
    ],
)
def test_wrong_instances_are_refused_with_a_sentence(inputs, document, words):
    with pytest.raises(TensorError, match=words):
        decode_instances(document, inputs)


def test_too_many_instances_are_refused():
    with pytest.raises(LimitExceededError):
        decode_instances({"instances": [0] * (INSTANCES_MAX + 1)}, SCALARS)


@given(
    array=np_st.arrays(
        np.int64, np_st.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)
    )
)
def test_rows_sent_as_instances_come_back_as_predictions(array):
    inputs = {"x": TensorSpec("x", "INT64", tuple([-1] * array.ndim))}
    got = decode_instances({"instances": array.tolist()}, inputs)
    body = encode_predictions(got, len(array))
    assert json.loads(body) == {"predictions": array.tolist()}


@given(st.integers(1, 5))
def test_several_outputs_make_an_object_an_instance(count):
    outputs = {
        "label": np.array(["a"] * count, dtype=object),
        "score": np.arange(count, dtype=np.float32),
        "row": np.ones((count, 2), np.float64),
    }
    predictions = json.loads(encode_predictions(outputs, count))["predictions"]
    assert predictions[-1] == {"label": "a", "score": count - 1.0, "row": [1.0, 1.0]}
    assert len(predictions) == count


def test_an_output_without_a_row_an_instance_is_refused():
    with pytest.raises(TensorError, match="'y'"):
        encode_predictions({"y": np.ones((3, 2))}, 2)
