"""JSON numbers become arrays, or a sentence that says why not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from packhorse.errors import LimitExceededError, TensorError
from packhorse.inference.tensors import (
    NUMPY_TYPES,
    check_shape,
    datatype_of,
    decode_array,
)
from packhorse.manifest import TensorSpec


def spec(datatype="FP32", shape=(-1, 2)):
    return TensorSpec("x", datatype, shape)


@given(
    array=np_st.arrays(
        st.sampled_from([d for d in NUMPY_TYPES.values() if d.kind != "O"]),
        np_st.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    ),
    is_nested=st.booleans(),
)
def test_every_array_survives_the_way_to_json_numbers_and_back(array, is_nested):
    array = np.nan_to_num(array) if array.dtype.kind == "f" else array
    is_nested = is_nested and array.ndim > 0 and 0 not in array.shape
    data = array.tolist() if is_nested else array.reshape(-1).tolist()
    shape = tuple([-1] * array.ndim)

    got = decode_array(spec(datatype_of(array), shape), array.shape, data)

    assert got.dtype == array.dtype
    assert got.shape == array.shape
    assert np.array_equal(got, array)


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("FP32", None, "is null"),
        ("FP32", "1.5", "takes numbers"),
        ("FP32", True, "is true"),
        ("FP32", 1e39, "too large"),
        ("FP16", 70000, "too large"),
        ("INT64", 1.0, "takes integers"),
        ("INT64", 1.8446744073709552e19, "takes integers"),
        ("INT8", 128, "too large"),
        ("UINT8", -1, "too large"),
        ("BOOL", 1, "takes true or false"),
        ("BYTES", 1, "takes text"),
        ("FP64", {"a": 1}, "is an object"),
    ],
)
def test_an_element_of_another_kind_is_refused_with_what_came(datatype, value, words):
    with pytest.raises(TensorError, match=words) as caught:
        decode_array(spec(datatype, (-1,)), (1,), [value])
    assert "'x'" in str(caught.value)


def test_lists_in_lists_for_one_axis_are_refused():
    with pytest.raises(TensorError, match="the nested lists"):
        decode_array(spec("FP32", (-1,)), (2,), [[1.0, 2.0]])


def test_arrays_of_text_are_bytes_in_the_protocols_words():
    assert datatype_of(np.array(["a"])) == "BYTES"
    assert datatype_of(np.array([b"a"])) == "BYTES"


def test_a_list_among_the_elements_is_named():
    with pytest.raises(TensorError, match="element 1 is a list"):
        decode_array(spec("FP32", (-1,)), (2,), [1.0, [2.0]])


@pytest.mark.parametrize(
    "data",
    [
        [1.0],
        [1.0, 2.0, 3.0],
        [[1.0, 2.0], [3.0]],
        [[1.0], [2.0]],
        [[1.0, 2.0], 3.0],
        [[[1.0, 2.0]]],
        {},
    ],
    ids=["too few", "too many", "ragged", "turned", "mixed", "too deep", "no list"],
)
def test_data_that_disagrees_with_the_shape_is_refused(data):
    with pytest.raises(TensorError):
        decode_array(spec(), (1, 2), data)


@pytest.mark.parametrize(
    "shape",
    [None, [1], [1, 3], [1, 2, 3], [-1, 2], [1.0, 2], [True, 2], ["1", 2], [0] * 17],
)
def test_a_shape_that_the_model_does_not_take_is_refused(shape):
    with pytest.raises(TensorError, match="'x'"):
        check_shape(spec(), shape)


def test_a_shape_that_asks_for_too_much_is_refused_before_anything_is_made():
    with pytest.raises(LimitExceededError):
        check_shape(spec(), [2**40, 2])


def test_sixty_four_bit_integers_keep_every_digit():
    numbers = [2**64 - 1, 2**63 + 1, 0]
    got = decode_array(spec("UINT64", (-1,)), (3,), numbers)
    assert got.tolist() == numbers
