"""JSON numbers become arrays, or a sentence that says why not."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse.errors import TensorError
from packhorse.inference.datatypes import datatype_of
from packhorse.inference.layout import PACKED_MAX, make_layout
from packhorse.inference.tensors import decode_array
from packhorse.manifest import TensorSpec
from tests.packhorse.inference.arrays import arrays, is_same


def decode(datatype, shape, data):
    spec = TensorSpec("x", datatype, tuple([-1] * len(shape)))
    return decode_array(make_layout(spec, shape), data)


@given(array=arrays(is_finite=True), is_nested=st.booleans())
def test_every_array_survives_the_way_to_json_and_back(array, is_nested):
    is_nested = is_nested and array.ndim > 0
    plain = array.astype(np.float32) if array.dtype.kind == "V" else array
    data = json.loads(json.dumps((plain if is_nested else plain.reshape(-1)).tolist()))

    got = decode(datatype_of(array.dtype), array.shape, data)

    assert is_same(got, array)


@pytest.mark.parametrize("count", [1, PACKED_MAX + 1], ids=["packed", "numpy's"])
@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("FP32", None, "is null"),
        ("FP32", "1.5", "takes numbers"),
        ("FP32", True, "is true"),
        ("FP32", 1e39, "too large"),
        ("FP32", -(2**200), "too large"),
        ("FP16", 70000, "too large"),
        ("BF16", 3.4e38, "too large"),
        ("FP64", 10**400, "too large"),
        ("INT64", 1.0, "takes integers"),
        ("INT64", 1.8446744073709552e19, "takes integers"),
        ("INT64", 2**63, "too large"),
        ("INT8", 128, "too large"),
        ("INT8", False, "is false"),
        ("UINT8", -1, "too large"),
        ("UINT64", -1, "too large"),
        ("BOOL", 1, "takes true or false"),
        ("BYTES", 1, "takes text"),
        ("FP64", {"a": 1}, "is an object"),
    ],
)
def test_an_element_that_does_not_fit_is_refused_with_what_came(
    datatype, value, words, count
):
    with pytest.raises(TensorError, match=words) as caught:
        decode(datatype, (count,), [value] * count)
    assert "'x'" in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((1, 2), [1.0]),
        ((1, 2), [1.0, 2.0, 3.0]),
        ((1, 2), [[1.0, 2.0], [3.0]]),
        ((1, 2), [[1.0], [2.0]]),
        ((1, 2), [[1.0, 2.0], 3.0]),
        ((1, 2), [[[1.0, 2.0]]]),
        ((1, 2), {}),
        ((1, 2), None),
        ((2,), [[1.0, 2.0]]),
        ((1,), [[1.0]]),
        ((), []),
        ((), [1.0, 2.0]),
        ((), [[1.0]]),
        ((), 1.0),
        ((2,), [1.0, [2.0]]),
        ((2,), [[], [1.0, 2.0]]),
        ((0,), [[]]),
    ],
)
def test_data_that_disagrees_with_the_shape_is_refused(shape, data):
    with pytest.raises(TensorError, match="input 'x'"):
        decode("FP32", shape, data)


def test_too_few_elements_are_counted():
    with pytest.raises(TensorError, match=r"\[1, 2\] holds 2 elements, came 1"):
        decode("FP32", (1, 2), [1.0])


def test_a_list_among_the_elements_is_named():
    with pytest.raises(TensorError, match="element 1 is a list"):
        decode("FP32", (2,), [1.0, [2.0]])


def test_one_row_may_stand_in_a_list_of_its_own():
    assert decode("FP32", (1, 1), [[2.0]]).tolist() == [[2.0]]
    assert decode("BOOL", (2, 1), [[True], [False]]).tolist() == [[True], [False]]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_a_tensor_may_be_empty(shape):
    assert decode("FP32", shape, []).shape == shape
    assert decode("BYTES", shape, np.zeros(shape).tolist()).shape == shape


def test_sixty_four_bit_integers_keep_every_digit():
    numbers = [2**64 - 1, 2**63 + 1, 0]
    assert decode("UINT64", (3,), numbers).tolist() == numbers
    assert decode("INT64", (1,), [-(2**63)]).tolist() == [-(2**63)]
