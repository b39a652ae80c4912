"""The parameters that mean something here."""

import pytest

from packhorse.errors import TensorError
from packhorse.inference.parameters import (
    read_flag,
    read_parameters,
    read_timeout_s,
)


@pytest.mark.parametrize(
    ("parameters", "timeout_s"),
    [
        ({}, None),
        ({"other": "x"}, None),
        ({"timeout_ms": 250}, 0.25),
        ({"timeout_ms": 0.5}, 0.0005),
        ({"timeout": 2_000_000}, 2.0),
        ({"timeout": 2_000_000, "timeout_ms": 100}, 0.1),
        ({"timeout": 0}, None),
        ({"timeout": 0, "timeout_ms": 100}, 0.1),
    ],
)
def test_the_shorter_of_two_timeouts_counts_and_zero_says_nothing(
    parameters, timeout_s
):
    assert read_timeout_s(parameters) == timeout_s


@pytest.mark.parametrize("value", [-1, "5", None, True, [], -0.5])
@pytest.mark.parametrize("name", ["timeout", "timeout_ms"])
def test_a_timeout_that_is_no_duration_is_refused(name, value):
    with pytest.raises(TensorError, match=name):
        read_timeout_s({name: value})


@pytest.mark.parametrize("document", [{}, {"parameters": None}, {"parameters": {}}])
def test_parameters_may_be_missing(document):
    assert read_parameters(document) == {}


@pytest.mark.parametrize("parameters", [[], "a", 5, True])
def test_parameters_are_an_object(parameters):
    with pytest.raises(TensorError, match="tensor 'y': 'parameters'"):
        read_parameters({"parameters": parameters}, "y")


@pytest.mark.parametrize("name", ["classification", "shared_memory_region"])
def test_what_is_not_served_is_refused_by_name(name):
    with pytest.raises(TensorError, match=f"{name}'.*tensor"):
        read_parameters({"parameters": {name: 3}}, "y")


def test_a_flag_is_true_or_false():
    assert read_flag({"a": True}, "a", default=False)
    assert read_flag({}, "a", default=True)
    with pytest.raises(TensorError, match="'a' must be true or false"):
        read_flag({"a": 1}, "a", "y", default=False)
