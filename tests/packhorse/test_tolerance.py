"""Tolerances read back as written, and hold where they say that they do."""

import math

import pytest

from packhorse.errors import MalformedError
from packhorse.tolerance import (
    Tolerance,
    decode_tolerances,
    encode_tolerances,
    tolerances_on,
)

WIDE = Tolerance(0.1, 0.2, 0.3)
ALL = {"y": Tolerance(1e-4, 1e-3, architectures={"aarch64": WIDE}), "z": WIDE}


def test_tolerances_read_back_the_same():
    assert decode_tolerances(encode_tolerances(ALL)) == ALL


def test_what_is_not_said_is_not_written():
    assert encode_tolerances({"y": Tolerance(1.0, 2.0)}) == {
        "y": {"absolute": 1.0, "relative": 2.0}
    }


def test_an_architecture_has_its_own_and_every_other_the_general_one():
    assert tolerances_on("aarch64", ALL)["y"] == WIDE
    assert tolerances_on("x86_64", ALL)["y"].absolute == 1e-4
    assert tolerances_on("x86_64", ALL)["z"] == WIDE


@pytest.mark.parametrize(
    "numbers",
    [(-1.0, 0.0), (0.0, math.inf), (math.nan, 0.0), (0.0, 0.0, -0.1)],
)
def test_numbers_that_are_no_distance_are_refused(numbers):
    with pytest.raises(MalformedError, match="from 0 on"):
        Tolerance(*numbers)


@pytest.mark.parametrize(
    "value",
    [
        {"absolute": 1},
        {"absolute": 1, "relative": 0, "surprise": 1},
        {"absolute": 1, "relative": 0, "argmax_margin": -1},
        {"absolute": 1, "relative": 0, "argmax_margin": None},
        {"absolute": 1, "relative": 0, "architectures": []},
        {"absolute": 1, "relative": 0, "architectures": {"x/86": {}}},
        {
            "absolute": 1,
            "relative": 0,
            "architectures": {
                f"a{n}": {"absolute": 1, "relative": 1} for n in range(9)
            },
        },
        {
            "absolute": 1,
            "relative": 0,
            "architectures": {
                "aarch64": {
                    "absolute": 1,
                    "relative": 0,
                    "architectures": {"x86_64": {"absolute": 1, "relative": 0}},
                }
            },
        },
    ],
    ids=[
        *("lacking", "unknown", "negative", "null", "list", "name", "many", "nested"),
    ],
)
def test_a_tolerance_that_is_none_is_refused(value):
    with pytest.raises(MalformedError):
        decode_tolerances({"y": value})
