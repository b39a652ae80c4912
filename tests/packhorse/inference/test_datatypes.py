"""The protocol's words for types, and numpy's."""

import ml_dtypes
import numpy as np
import orjson
import pytest

from packhorse.inference.datatypes import (
    NUMPY_TYPES,
    datatype_of,
    json_values,
    numpy_type,
)
from packhorse.manifest import DATATYPES


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
def test_every_datatype_has_one_type_in_numpy(datatype):
    assert datatype_of(numpy_type(datatype)) == datatype


def test_only_bf16_is_not_numpys_own():
    assert DATATYPES - NUMPY_TYPES.keys() == {"BF16"}


def test_arrays_of_text_are_bytes_in_the_protocols_words():
    assert datatype_of(np.array(["a"]).dtype) == "BYTES"
    assert datatype_of(np.array([b"a"]).dtype) == "BYTES"


def test_bf16_is_written_as_the_numbers_that_it_holds():
    array = np.array([[0.5, np.nan]], ml_dtypes.bfloat16)

    assert written(array) == [[0.5, None]]


@pytest.mark.parametrize("shape", [(), (2,), (2, 1), (0, 3)])
def test_text_keeps_its_shape(shape):
    array = np.full(shape, "é", dtype=object)

    assert written(array) == array.tolist()


def test_text_that_is_no_utf8_is_written_with_replacements():
    array = np.array([b"a", b"\xff"], dtype=object)

    assert written(array) == ["a", "\N{REPLACEMENT CHARACTER}"]


def written(array):
    return orjson.loads(
        orjson.dumps(json_values(array), option=orjson.OPT_SERIALIZE_NUMPY)
    )
