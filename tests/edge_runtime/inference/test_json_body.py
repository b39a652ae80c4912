"""Large JSON bodies: the same answers as small ones, in bounded memory."""

import base64
import json
import threading

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.inference import json_body
from edge_runtime.inference.json_body import (
    DEPTH_MAX,
    FIELDS_MAX,
    KEPT_MAX_BYTES,
    LISTS_MAX,
    PLAIN_MAX,
    RETRIED_MAX_BYTES,
    SMALL_MAX_BYTES,
    VALUES_MAX,
    decode_document,
)
from packhorse.errors import LimitExceededError, MalformedError, TensorError
from packhorse.inference.datatypes import datatype_of
from packhorse.inference.signature import Signature
from packhorse.inference.tensors import is_numbers
from packhorse.inference.v2 import decode_request
from packhorse.inference.vertex import INSTANCES_MAX, decode_instances
from packhorse.manifest import DATATYPES, TensorSpec
from tests.packhorse.inference.arrays import arrays, is_same

PADDING = b" " * (SMALL_MAX_BYTES + 1)


def takes(*specs):
    return Signature({spec.name: spec for spec in specs}, {})


def takes_x(datatype="FP32", rank=1):
    return takes(TensorSpec("x", datatype, (-1,) * rank))


def large(document):
    """Read a document as if it were long."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return decode_document(body + PADDING)


def request(data, shape, datatype="FP32", **more):
    tensor = {"name": "x", "datatype": datatype, "shape": list(shape), "data": data}
    return {"inputs": [tensor], **more}


def infer(document, datatype="FP32"):
    rank = 1
    if isinstance(document, dict):
        rank = len(document["inputs"][0]["shape"])
    return decode_request(large(document), takes_x(datatype, rank)).inputs["x"]


def predict(instances, signature):
    return decode_instances(large({"instances": instances}), signature).inputs


@given(array=arrays(is_finite=True), is_nested=st.booleans())
def test_every_array_survives_in_a_large_body(array, is_nested):
    plain = array.astype(np.float32) if array.dtype.kind == "V" else array
    data = (plain if is_nested and plain.ndim else plain.reshape(-1)).tolist()
    datatype = datatype_of(array.dtype)

    got = infer(request(data, array.shape, datatype), datatype)

    assert is_same(got, array)


@given(array=arrays(datatypes=DATATYPES - {"BF16"}, min_dims=1, is_finite=True))
def test_instances_of_a_large_body_become_the_same_arrays(array):
    if 0 in array.shape:
        return
    datatype = datatype_of(array.dtype)
    signature = takes_x(datatype, array.ndim)
    rows = array.tolist()

    assert is_same(predict(rows, signature)["x"], array)
    assert is_same(predict([{"x": row} for row in rows], signature)["x"], array)


def test_only_the_numbers_of_large_bodies_stay_where_they_are():
    document = large(request([[1, 2], [3, 4]], (2, 2), id="7", parameters={"a": [1]}))

    (tensor,) = document["inputs"]
    assert is_numbers(tensor["data"])
    assert (tensor["name"], tensor["shape"]) == ("x", [2, 2])
    assert (document["id"], document["parameters"]) == ("7", {"a": [1]})


def test_elements_come_in_row_major_order_however_they_are_nested():
    (tensor,) = large(request([1, [2.5, [None]], "a", {"b": 1}], (4,)))["inputs"]
    assert list(tensor["data"].leaves()) == [1, 2.5, None, "a", {}]


def test_small_bodies_become_pythons_objects():
    document = request([1.5], (1,), other=[1])
    assert decode_document(json.dumps(document).encode()) == document


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("padding", [b"", PADDING], ids=["small", "large"])
def test_a_body_may_lie_in_any_buffer(kind, padding):
    body = json.dumps(request([1.5], (1,))).encode() + padding
    got = decode_request(decode_document(kind(body)), takes_x())
    assert got.inputs["x"].tolist() == [1.5]


@pytest.mark.parametrize("padding", [b"", PADDING], ids=["small", "large"])
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"NaN", b'{"a":NaN}', b"\xff", b"[" * 5000, b"\xef\xbb\xbf{}"),
        *(b"{}{}", b'{"a":01}', b'{"a":"\\ud800"}', b"[" * 1100 + b"]" * 1100),
    ],
)
def test_what_is_no_json_is_refused(body, padding):
    with pytest.raises(TensorError, match=r"must be JSON: .* at character"):
        decode_document(body + padding)


@pytest.mark.parametrize("padding", [b"", PADDING], ids=["small", "large"])
@pytest.mark.parametrize("body", [b"[]", b"5", b'"a"', b"null"])
def test_what_is_no_object_is_refused(body, padding):
    with pytest.raises(TensorError, match="must be a JSON object"):
        decode_document(body + padding)


def test_a_body_too_large_to_be_read_twice_is_refused_in_short():
    with pytest.raises(TensorError, match=r"must be JSON$"):
        decode_document(b"x" * (RETRIED_MAX_BYTES + 1))


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("FP32", None, "element 2 is null"),
        ("FP32", "1.5", "takes numbers"),
        ("FP32", True, "is true"),
        ("FP32", {"a": 1}, "is an object"),
        ("FP32", 1e39, "too large"),
        ("FP16", 70000, "too large"),
        ("BF16", 3.4e38, "too large"),
        ("INT64", 1.0, "takes integers, element 2 is 1.0"),
        ("INT64", 2**63, "too large"),
        ("UINT64", -1, "too large"),
        ("INT8", 128, "too large"),
        ("INT8", -129, "too large"),
        ("UINT8", -1, "too large"),
        ("BOOL", 1, "takes true or false"),
        ("BYTES", 1, "takes text"),
    ],
)
def test_an_element_that_does_not_fit_is_refused_with_what_came(datatype, value, words):
    fits = {"BOOL": True, "BYTES": "a"}.get(datatype, 1)
    with pytest.raises(TensorError, match=words) as caught:
        infer(request([fits, fits, value], (3,), datatype), datatype)
    assert "'x'" in str(caught.value)


def test_the_search_for_the_element_to_name_ends():
    data = [1] * 70_000 + [None]
    with pytest.raises(TensorError, match="an element after 65536 is none"):
        infer(request(data, (len(data),)))


RAGGED = [
    [[1, 2], [3]],
    [[1, 2], 3],
    [1, [2]],
    [1, [], 2],
    [[1, [2]]],
    [[1, 2], "ab"],
    [[1, 2], {"a": 1, "b": 2}],
    [[], [1, 2]],
    [[[1], [2]]],
    [[[1, 2]]],
    [[1], [2]],
    [1],
    [1, 2, 3],
]


@pytest.mark.parametrize("data", RAGGED)
@pytest.mark.parametrize("name", ["", "[", "[[[["])
def test_lists_that_disagree_with_the_shape_are_refused(data, name):
    for shape in ((1, 2), (2,), (2, 2)):
        if np.array(data, dtype=object).shape == shape:
            continue
        with pytest.raises(TensorError, match="'x'"):
            infer(request(data, shape, id=name))


def test_brackets_in_text_and_lists_in_other_fields_are_no_lists_among_numbers():
    document = request([[1, 2]], (1, 2), id="[[", other=[[1], [2]])
    assert infer(document).tolist() == [[1.0, 2.0]]


def test_a_bracket_in_text_does_not_hide_a_list():
    signature = takes(TensorSpec("x", "FP32", (-1,)), TensorSpec("t", "BYTES", (-1,)))
    text = {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["]"]}
    document = request([1, []], (1,))
    with pytest.raises(TensorError, match="'x'"):
        decode_request(large({"inputs": [*document["inputs"], text]}), signature)


def test_integers_keep_every_digit_and_floats_may_be_written_as_integers():
    big = [2**64 - 1, 2**63 + 1, 0]
    assert infer(request(big, (3,), "UINT64"), "UINT64").tolist() == big
    assert infer(request([-(2**63)], (1,), "INT64"), "INT64").tolist() == [-(2**63)]
    assert infer(request([10**25, 1], (2,), "FP64"), "FP64").tolist() == [1e25, 1.0]


@pytest.mark.parametrize(
    ("instances", "datatype", "rank", "expected"),
    [
        ([[1, 2], [3, 4]], "FP32", 2, [[1, 2], [3, 4]]),
        ([1, 2], "INT64", 1, [1, 2]),
        (["a", "b"], "BYTES", 1, ["a", "b"]),
        ([["a", {"b64": "Yg=="}]], "BYTES", 2, [["a", "b"]]),
        ([{"b64": "Yg=="}, "a"], "BYTES", 1, ["b", "a"]),
        ([{"x": [["a"], ["b"]]}], "BYTES", 3, [[["a"], ["b"]]]),
        ([{"x": [{"b64": "Yg=="}]}], "BYTES", 2, [["b"]]),
        ([{"b64": "AAA="}, [3, 4]], "INT8", 2, [[0, 0], [3, 4]]),
        ([{"x": {"b64": "AAA="}}, {"x": [3, 4]}], "INT8", 2, [[0, 0], [3, 4]]),
        ([{"x": [[1, 2]]}, {"x": [[3, 4]]}], "FP64", 3, [[[1, 2]], [[3, 4]]]),
        ([{"x": list(range(99))}], "INT16", 2, [list(range(99))]),
    ],
)
def test_instances_in_every_form_are_taken(instances, datatype, rank, expected):
    assert predict(instances, takes_x(datatype, rank))["x"].tolist() == expected


@pytest.mark.parametrize(
    ("instances", "datatype", "words"),
    [
        ([], "FP32", "one or more"),
        ({}, "FP32", "came an object"),
        ("a", "FP32", "came 'a'"),
        ([[1, 2], [3]], "FP32", "agree in their lengths"),
        ([[1, 2], {"x": [1, 2]}], "FP32", "'x'"),
        ([{"x": [[1], [2, 3]]}], "FP32", "agree in their lengths"),
        ([{"x": [["a"], ["b", "c"]]}], "BYTES", "lists that differ"),
        ([{"x": [1, 2]}, 5], "FP32", "instance 1"),
        ([{"x": [1, 2]}, [1, 2]], "FP32", "instance 1.*came a list"),
        ([{"x": [1, {}]}], "FP32", "an object"),
        ([{"x": {"b65": ""}}], "FP32", "base64"),
        ([{"x": {"b64": []}}], "FP32", "base64"),
    ],
)
def test_wrong_instances_are_refused_with_a_sentence(instances, datatype, words):
    with pytest.raises(TensorError, match=words):
        predict(instances, takes_x(datatype, 2))


def test_too_many_instances_are_refused():
    for instance in (1, {"x": 1}):
        with pytest.raises(LimitExceededError, match="instances"):
            predict([instance] * (INSTANCES_MAX + 1), takes_x())


def test_a_large_body_of_pictures_as_objects_is_one_array():
    pictures = np.random.default_rng(1).random((3, 20, 30), np.float32)
    signature = takes(TensorSpec("x", "FP32", (-1, 20, 30)))
    got = predict([{"x": picture.tolist()} for picture in pictures], signature)
    assert np.array_equal(got["x"], pictures)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * (LISTS_MAX + 1),
        b'{"inputs":[' + b"[]," * LISTS_MAX + b"1]}",
        b'{"instances":[' + b"{}," * (LISTS_MAX + 1) + b"1]}",
        b'{"instances":[' + b"1," * VALUES_MAX + b"1]}",
        b"{" + b",".join(b'"%d":1' % i for i in range(FIELDS_MAX * 20)) + b"}",
        json.dumps({"id": [1] * PLAIN_MAX}).encode(),
        json.dumps({"inputs": [1] * PLAIN_MAX}).encode(),
        b'{"parameters":' + b"[" * (DEPTH_MAX + 2) + b"]" * (DEPTH_MAX + 2) + b"}",
    ],
    ids=["open", "lists", "objects", "values", "fields", "id", "inputs", "deep"],
)
def test_what_would_take_much_memory_or_time_is_refused(body):
    with pytest.raises(LimitExceededError):
        large(body)


def test_a_field_that_stands_twice_is_refused():
    with pytest.raises(TensorError, match="twice among"):
        large(b'{"id": "a", "id": "b"}')


def test_a_name_that_holds_nul_is_refused():
    with pytest.raises(TensorError, match="NUL"):
        large(b'{"id": "a", "i\\u0000": "b"}')


def test_every_one_of_many_instances_may_be_base64():
    rows = [{"x": {"b64": "AAA="}}] * 20_000
    assert predict(rows, takes(TensorSpec("x", "INT8", (-1, 2))))["x"].shape == (
        20_000,
        2,
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["inputs", "name", "shape", "data", "x", "b64", "id"]),
            inner,
            max_size=3,
        )
    ),
)


@given(part=JSON, datatype=st.sampled_from(["FP32", "INT64", "BOOL", "BYTES"]))
def test_any_json_is_taken_or_refused_alike_in_small_and_in_large(part, datatype):
    signature = takes_x(datatype, 2)
    for document in (
        {"instances": part},
        {"instances": [part, part]},
        request(part, (1, 2), datatype),
        {"inputs": part},
    ):
        body = orjson.dumps(_finite(document))
        outcomes = [_outcome(body, signature), _outcome(body + PADDING, signature)]
        assert outcomes[0] == outcomes[1]


def _outcome(body, signature):
    decode = decode_instances if b'"instances"' in body else decode_request
    try:
        arrays = decode(decode_document(body), signature).inputs
    except MalformedError:
        return None
    return {name: array.tolist() for name, array in arrays.items()}


def _finite(value):
    """Return JSON that every writer writes: no integers beyond 64 bits."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-(2**63), min(value, 2**64 - 1))
    return value


def test_documents_that_are_read_at_once_do_not_share_their_memory():
    first = large(request([1.0, 2.0], (2,)))
    second = large(request([3.0, 4.0], (2,)))

    assert decode_request(first, takes_x()).inputs["x"].tolist() == [1.0, 2.0]
    assert decode_request(second, takes_x()).inputs["x"].tolist() == [3.0, 4.0]


def test_an_array_outlives_the_document_it_came_from():
    array = infer(request([1.0, 2.0], (2,), "FP64"), "FP64")
    for _ in range(3):
        infer(request([3.0, 4.0], (2,), "FP64"), "FP64")
    assert array.tolist() == [1.0, 2.0]


def test_threads_may_decode_at_the_same_time():
    wrong = []

    def decode_many(number):
        wanted = [number] * 50
        got = [infer(request(wanted, (50,))).tolist() for _ in range(200)]
        wrong.extend(each for each in got if each != wanted)

    threads = [threading.Thread(target=decode_many, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_parser_that_took_much_memory_is_not_kept():
    body = b'{"id": "' + b"a" * KEPT_MAX_BYTES + b'"}'
    kept = list(json_body._kept)  # noqa: SLF001  # what it keeps is the point
    decode_document(body)
    assert json_body._kept == kept  # noqa: SLF001


def test_base64_rows_of_a_large_body_are_exact():
    array = np.random.default_rng(1).standard_normal((50, 300)).astype(np.float32)
    rows = [{"b64": base64.b64encode(row.tobytes()).decode()} for row in array]
    signature = takes(TensorSpec("x", "FP32", (-1, 300)))
    assert is_same(predict(rows, signature)["x"], array)
