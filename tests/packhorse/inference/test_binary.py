"""Tensors as raw bytes, both ways."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse.errors import TensorError
from packhorse.inference.binary import COPIED_MAX_BYTES, decode_bytes, encode_bytes
from packhorse.inference.datatypes import datatype_of
from packhorse.inference.layout import make_layout
from packhorse.manifest import TensorSpec
from tests.packhorse.inference.arrays import arrays, is_same


def layout(datatype="FP32", shape=(2,)):
    return make_layout(TensorSpec("x", datatype, tuple([-1] * len(shape))), shape)


def decode(datatype, shape, raw):
    return decode_bytes(layout(datatype, shape), memoryview(raw))


def text(*words):
    return b"".join(struct.pack("<I", len(word)) + word for word in words)


@given(array=arrays(), before=st.integers(0, 7))
def test_every_array_survives_bit_by_bit_wherever_its_bytes_lie(array, before):
    raw = memoryview(b" " * before + bytes(encode_bytes(array)))

    got = decode_bytes(layout(datatype_of(array.dtype), array.shape), raw[before:])

    assert is_same(got, array)
    assert got.flags.aligned


@given(array=arrays(), cut=st.integers(1, 5))
def test_bytes_too_few_or_too_many_are_refused(array, cut):
    raw = bytes(encode_bytes(array))
    wanted = layout(datatype_of(array.dtype), array.shape)
    with pytest.raises(TensorError, match="input 'x'"):
        decode_bytes(wanted, memoryview(raw + b"\0" * cut))
    if raw:
        with pytest.raises(TensorError, match="input 'x'"):
            decode_bytes(wanted, memoryview(raw[:-cut]))


def test_numbers_are_a_view_of_the_body():
    body = bytearray(16)
    array = decode("FP32", (4,), body)
    body[4:8] = struct.pack("<f", 1.5)
    assert array.tolist() == [0.0, 1.5, 0.0, 0.0]


def test_wrong_lengths_are_refused_with_what_was_expected_and_what_came():
    with pytest.raises(TensorError, match=r"\[2\] of FP32 takes 8 bytes, came 7"):
        decode("FP32", (2,), bytes(7))


def test_a_truth_is_one_byte_of_0_or_1():
    assert decode("BOOL", (2,), b"\1\0").tolist() == [True, False]
    with pytest.raises(TensorError, match="0 or 1, came 7"):
        decode("BOOL", (2,), b"\1\7")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (text(b"a"), "came 1"),
        (text(b"a", b"b", b"c"), "came 5 bytes more"),
        (text(b"a", b"b")[:-1], "cut short after 1"),
        (text(b"a") + b"\1\0", "cut short after 1"),
        (b"\xff\xff\xff\xff" + b"a", "cut short after 0"),
        (text(b"a", b"\xff"), "UTF-8, element 1"),
    ],
)
def test_text_that_does_not_fit_is_refused(raw, words):
    with pytest.raises(TensorError, match=words):
        decode("BYTES", (2,), raw)


def test_text_given_as_bytes_is_written_as_it_is():
    array = np.array([b"\xff", "é"], dtype=object)
    assert encode_bytes(array) == text(b"\xff", "é".encode())


def test_turned_arrays_are_written_in_row_major_order():
    small = np.arange(6, dtype=np.int16).reshape(2, 3).T
    large = np.arange(COPIED_MAX_BYTES).reshape(2, -1).T
    for array in (small, large):
        assert bytes(encode_bytes(array)) == np.ascontiguousarray(array).tobytes()
