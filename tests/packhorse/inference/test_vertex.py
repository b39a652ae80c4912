"""Vertex AI's instances and predictions, which are KServe's too."""

import base64
import json

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse.errors import LimitExceededError, MalformedError, TensorError
from packhorse.inference.binary import encode_bytes
from packhorse.inference.datatypes import datatype_of
from packhorse.inference.signature import Signature
from packhorse.inference.vertex import (
    INSTANCES_MAX,
    decode_instances,
    encode_predictions,
)
from packhorse.manifest import DATATYPES, TensorSpec
from tests.packhorse.inference.arrays import arrays, is_same


def takes(*specs, optional=()):
    return Signature({s.name: s for s in specs}, {}, frozenset(optional))


X = TensorSpec("x", "FP32", (-1, 2))
N = TensorSpec("n", "INT64", (-1,))
T = TensorSpec("t", "BYTES", (-1,))
ONE, SCALARS, TWO, WORDS = takes(X), takes(N), takes(X, N), takes(T)
PAIRS = takes(TensorSpec("t", "BYTES", (-1, 2)))
MAYBE = takes(X, N, optional={"n"})


def b64(raw):
    return {"b64": base64.b64encode(raw).decode()}


def floats(*numbers):
    return b64(np.array(numbers, np.float32).tobytes())


@pytest.mark.parametrize(
    ("signature", "instances", "expected"),
    [
        (ONE, [[1, 2], [3, 4]], {"x": [[1, 2], [3, 4]]}),
        (ONE, [{"x": [1, 2]}], {"x": [[1, 2]]}),
        (SCALARS, [1, 2, 3], {"n": [1, 2, 3]}),
        (SCALARS, [{"n": 1}, {"n": 2}], {"n": [1, 2]}),
        (TWO, [{"x": [1, 2], "n": 5}], {"x": [[1, 2]], "n": [5]}),
        (TWO, [{"n": 5, "x": [1, 2]}], {"x": [[1, 2]], "n": [5]}),
        (MAYBE, [{"x": [1, 2]}], {"x": [[1, 2]]}),
        (MAYBE, [{"x": [1, 2], "n": 1}], {"x": [[1, 2]], "n": [1]}),
        (WORDS, ["a", "é"], {"t": ["a", "é"]}),
        (WORDS, [b64("é".encode()), "a"], {"t": ["é", "a"]}),
        (WORDS, ["a", b64(b"")], {"t": ["a", ""]}),
        (WORDS, [{"t": b64(b"b")}, {"t": "a"}], {"t": ["b", "a"]}),
        (PAIRS, [["a", b64(b"b")]], {"t": [["a", "b"]]}),
        (PAIRS, [{"t": [b64(b"a"), "b"]}], {"t": [["a", "b"]]}),
        (ONE, [floats(1, 2), [3, 4]], {"x": [[1, 2], [3, 4]]}),
        (ONE, [{"x": [1, 2]}, {"x": floats(3, 4)}], {"x": [[1, 2], [3, 4]]}),
        (SCALARS, [b64(bytes(8))], {"n": [0]}),
        (takes(), [{}, {}], {}),
        (takes(TensorSpec("b64", "INT64", (-1,))), [{"b64": 3}], {"b64": [3]}),
        (
            takes(TensorSpec("x", "FP32", (-1, -1, 2))),
            [floats(1, 2)],
            {"x": [[[1, 2]]]},
        ),
    ],
)
def test_instances_become_one_array_an_input(signature, instances, expected):
    got = decode_instances({"instances": instances, "parameters": {}}, signature)
    assert {name: array.tolist() for name, array in got.inputs.items()} == expected
    assert got.count == len(instances)
    assert got.timeout_s is None


@pytest.mark.parametrize(
    ("signature", "document", "words"),
    [
        (ONE, {}, "'instances', which is missing"),
        (ONE, {"instances": []}, "one or more"),
        (ONE, {"instances": 5}, "'instances', came 5"),
        (ONE, {"instances": [[1, 2], [3]]}, "nested lists"),
        (ONE, {"instances": [[1, 2, 3]]}, "expected the shape"),
        (ONE, {"instances": [[1, 2], {"x": [1, 2]}]}, "instance 0: .*came a list"),
        (ONE, {"instances": [{"x": [1, 2], "z": 1}]}, "instance 0: .*'z'"),
        (ONE, {"instances": [{}]}, r"instance 0: .*came \[\]"),
        (ONE, {"instances": [[1, None]]}, "is null"),
        (ONE, {"instances": [[1, [2]]]}, "is a list"),
        (TWO, {"instances": [[1, 2]]}, "object with the inputs"),
        (TWO, {"instances": [floats(1, 2)]}, "'b64'"),
        (TWO, {"instances": [{"x": [1, 2]}]}, "instance 0"),
        (MAYBE, {"instances": [{"x": [1, 2], "n": 1}, {"x": [1, 2]}]}, "instance 1"),
        (MAYBE, {"instances": [{"n": 1}]}, "instance 0"),
        (ONE, {"instances": [[1, 2]], "parameters": 5}, "'parameters'"),
        (ONE, {"instances": [floats(1)]}, "takes 8 bytes, came 4"),
        (ONE, {"instances": [{"b64": "!"}]}, "text in base64"),
        (ONE, {"instances": [{"b64": "AA=A"}]}, "text in base64"),
        (ONE, {"instances": [{"b64": "é"}]}, "text in base64"),
        (ONE, {"instances": [{"b64": 5}]}, "text in base64"),
        (ONE, {"instances": [{"x": {"b65": "AA=="}}]}, "text in base64"),
        (ONE, {"instances": [{"x": {"b64": "AA==", "y": 1}}]}, "'b64' alone"),
        (ONE, {"instances": [[1, b64(bytes(4))]]}, "is an object"),
        (WORDS, {"instances": [b64(b"\xff")]}, "UTF-8"),
        (WORDS, {"instances": [{"t": {"b64": "AA==", "c": 1}}]}, "is an object"),
        (takes(TensorSpec("x", "FP32", ())), {"instances": [1]}, "no batch axis"),
        (
            takes(TensorSpec("x", "FP32", (-1, -1, -1))),
            {"instances": [floats(1)]},
            r"do not give the row's shape \[any, any\]",
        ),
        (
            takes(TensorSpec("x", "FP32", (-1, -1, 2))),
            {"instances": [floats(1)]},
            "do not give",
        ),
        (
            takes(TensorSpec("x", "FP32", (-1, -1))),
            {"instances": [floats(1), floats(1, 2)]},
            r"instance 1 has the shape \[2\], the first has \[1\]",
        ),
    ],
)
def test_wrong_instances_are_refused_with_a_sentence(signature, document, words):
    with pytest.raises(TensorError, match=words):
        decode_instances(document, signature)


@pytest.mark.parametrize("signature", [ONE, WORDS, PAIRS])
def test_lists_a_thousand_deep_are_refused(signature):
    deep = []
    for _ in range(1000):
        deep = [deep]
    for instances in ([deep], deep, ["a", deep], [[1, deep]]):
        with pytest.raises(TensorError):
            decode_instances({"instances": instances}, signature)


def test_too_many_instances_are_refused():
    with pytest.raises(LimitExceededError):
        decode_instances({"instances": [0] * (INSTANCES_MAX + 1)}, SCALARS)


def test_the_client_says_how_long_it_waits():
    document = {"instances": [1], "parameters": {"timeout_ms": 5}}
    assert decode_instances(document, SCALARS).timeout_s == 0.005


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "n", "b64"]), inner, max_size=2)
    ),
)


@given(
    instances=JSON | st.lists(JSON, max_size=3),
    signature=st.sampled_from([ONE, SCALARS, TWO, WORDS, PAIRS, MAYBE, takes()]),
)
def test_no_json_makes_it_raise_anything_else(instances, signature):
    try:
        got = decode_instances({"instances": instances}, signature)
    except MalformedError:
        return
    assert got.count == len(instances)


@given(array=arrays(datatypes=DATATYPES - {"BF16"}, min_dims=1, is_finite=True))
def test_rows_sent_as_instances_come_back_as_predictions(array):
    if 0 in array.shape:
        return
    datatype = datatype_of(array.dtype)
    signature = takes(TensorSpec("x", datatype, (-1,) * array.ndim))

    got = decode_instances({"instances": array.tolist()}, signature)
    body = encode_predictions(got.inputs, len(array))

    assert is_same(got.inputs["x"], array)
    rows = np.array(json.loads(body)["predictions"], array.dtype)
    assert is_same(rows, array)


@given(array=arrays(datatypes=DATATYPES - {"BYTES"}, min_dims=1))
def test_rows_sent_as_base64_are_exact(array):
    if 0 in array.shape:
        return
    datatype = datatype_of(array.dtype)
    signature = takes(TensorSpec("x", datatype, (-1, *array.shape[1:])))

    instances = [b64(bytes(encode_bytes(row))) for row in array]
    got = decode_instances({"instances": instances}, signature)

    assert is_same(got.inputs["x"], array)


@given(st.integers(1, 5))
def test_several_outputs_make_an_object_an_instance(count):
    outputs = {
        "label": np.array(["a"] * count, dtype=object),
        "score": np.arange(count, dtype=np.float32),
        "half": np.full((count, 1), 0.5, ml_dtypes.bfloat16),
        "row": np.ones((count, 2), np.float64),
    }
    predictions = json.loads(encode_predictions(outputs, count))["predictions"]
    last = {"label": "a", "score": count - 1.0, "half": [0.5], "row": [1.0, 1.0]}
    assert predictions[-1] == last
    assert len(predictions) == count


@pytest.mark.parametrize("array", [np.ones((3, 2)), np.ones(()), np.ones((0, 2))])
def test_an_output_without_a_row_an_instance_is_refused(array):
    with pytest.raises(TensorError, match="'y'"):
        encode_predictions({"y": array}, 2)
