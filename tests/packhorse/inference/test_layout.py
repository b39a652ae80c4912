"""What a request says of a tensor, against what the model takes."""

import pytest

from packhorse.errors import LimitExceededError, TensorError
from packhorse.inference.layout import (
    PACKED_MAX,
    TEXTS_MAX,
    check_shape,
    make_layout,
    short,
)
from packhorse.manifest import TensorSpec


def spec(datatype="FP32", shape=(-1, 2)):
    return TensorSpec("x", datatype, shape)


@pytest.mark.parametrize(
    "shape",
    [
        *(None, {}, "12", 12, [1], [1, 3], [1, 2, 3], [0] * 17),
        *([-1, 2], [1.0, 2], [True, 2], ["1", 2], [None, 2], [[1], 2]),
    ],
)
def test_a_shape_that_the_model_does_not_take_is_refused(shape):
    with pytest.raises(TensorError, match="'x'"):
        check_shape(spec(), shape)


def test_a_wrong_shape_is_refused_with_what_was_expected_and_what_came():
    with pytest.raises(
        TensorError, match=r"expected the shape \[any, 2\], came \[1, 3"
    ):
        check_shape(spec(), [1, 3])


@pytest.mark.parametrize("shape", [[0, 2], [1, 2], [1000, 2]])
def test_a_free_axis_may_have_any_length(shape):
    assert check_shape(spec(), shape) == tuple(shape)


def test_a_scalar_has_the_shape_of_no_axes():
    assert check_shape(spec(shape=()), []) == ()


@pytest.mark.parametrize("shape", [[2**40, 2], [2**62, 0]], ids=["full", "empty"])
def test_a_shape_that_asks_for_too_much_is_refused_before_anything_is_made(shape):
    with pytest.raises(LimitExceededError):
        check_shape(spec(shape=(-1, -1)), shape)


def test_text_may_have_fewer_elements_than_numbers():
    assert check_shape(spec("FP32", (-1,)), [TEXTS_MAX + 1])
    with pytest.raises(LimitExceededError, match="BYTES"):
        check_shape(spec("BYTES", (-1,)), [TEXTS_MAX + 1])


def test_what_struct_does_not_pack_is_left_to_numpy():
    assert make_layout(spec(), (1, 2)).pack(1, 2.5) == b"\0\0\x80\x3f\0\0\x20\x40"
    assert make_layout(spec(), (PACKED_MAX, 2)).pack is None
    assert make_layout(spec("BF16"), (1, 2)).pack is None
    assert make_layout(spec("BOOL"), (1, 2)).pack is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (1.5, "1.5"),
        (-7, "-7"),
        (10**400, "a huge integer"),
        ("a" * 99, repr("a" * 40)),
        ([1], "a list"),
        ({}, "an object"),
    ],
)
def test_a_value_is_written_short_for_a_sentence(value, words):
    assert short(value) == words
