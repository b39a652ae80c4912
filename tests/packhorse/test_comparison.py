"""When outputs agree with what they should be."""

import math

import numpy as np
import pytest

from packhorse.comparison import (
    are_scores,
    check_tolerances,
    compare_live,
    compare_outputs,
    count_flips,
)
from packhorse.errors import MalformedError
from packhorse.inference.datatypes import numpy_type
from packhorse.manifest import TensorSpec
from packhorse.tolerance import Tolerance


def compare(expected, got, tolerance=None):
    tolerances = {"y": tolerance} if tolerance else {}
    return compare_outputs(
        {"y": np.asarray(expected)}, {"y": np.asarray(got)}, tolerances
    )


def test_outputs_within_tolerance_agree_and_say_by_how_much():
    comparison = compare([1.0, 2.0], [1.0, 2.001], Tolerance(0.0, 0.001))
    assert comparison.agrees
    assert comparison.largest_difference["y"] == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("got", "word"),
    [
        ([1.0, 2.5], "differs by 0.5"),
        ([1.0, math.nan], "not finite"),
        ([1.0, math.inf], "not finite"),
        ([[1.0, 2.0]], "shape"),
    ],
)
def test_outputs_that_disagree_say_why(got, word):
    comparison = compare([1.0, 2.0], got)
    assert not comparison.agrees
    assert word in comparison.reason


def test_a_missing_output_disagrees():
    assert "missing" in compare_outputs({"y": np.zeros(1)}, {}, {}).reason


def test_integers_of_any_sign_compare_by_distance():
    tolerance = Tolerance(1, 0)
    a, b = np.array([0], np.uint8), np.array([1], np.uint8)
    assert compare(a, b, tolerance).largest_difference["y"] == 1.0


def test_truth_values_must_be_the_same():
    assert compare([True], [True]).agrees
    assert "not the golden one" in compare([True], [False]).reason


SCORES = np.array([[0.50, 0.46, 0.04], [0.2, 0.3, 0.5]], np.float32)
OTHER = np.array([[0.47, 0.48, 0.05], [0.2, 0.3, 0.5]], np.float32)


@pytest.mark.parametrize(
    ("margin", "agrees"), [(None, True), (0.0, False), (0.03, False), (0.05, True)]
)
def test_another_winner_disagrees_only_if_the_golden_one_led_by_more(margin, agrees):
    comparison = compare(SCORES, OTHER, Tolerance(0.1, 0.0, margin))
    assert comparison.agrees is agrees
    assert agrees or "in 1 of 2 rows, where the golden one led by" in comparison.reason


def test_a_margin_excuses_no_value_outside_of_its_tolerance():
    assert "differs by" in compare(SCORES, OTHER, Tolerance(0.01, 0.0, 0.5)).reason


def test_a_tie_has_two_winners():
    assert count_flips(np.array([[1.0, 1.0]]), np.array([[0.9, 1.0]]), 0.0) == 0


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (3,)])
def test_flips_are_counted_in_arrays_of_any_shape(shape):
    array = np.zeros(shape)
    assert count_flips(array, array, 0.0) == 0


def test_nan_never_counts_as_close():
    scores = np.array([[np.nan, 0.0]])
    assert count_flips(scores, np.array([[0.0, 1.0]]), 10.0) == 1


def test_text_agrees_with_itself_alone():
    texts = np.array([["a", "ü"]], object)
    assert compare(texts, texts.copy()).agrees
    assert not compare(texts, np.array([["a", "u"]], object)).agrees
    assert not compare(texts, np.zeros((1, 2), np.float32)).agrees


def test_bf16_is_compared_as_numbers():
    halves = np.array([1.0, 2.0]).astype(numpy_type("BF16"))
    assert compare(halves, halves).agrees
    nearly = np.array([1.0, 2.015625]).astype(numpy_type("BF16"))
    comparison = compare(halves, nearly, Tolerance(0.02, 0.0))
    assert comparison.agrees
    assert comparison.largest_difference["y"] == 0.015625
    assert "not finite" in compare(halves, halves * np.inf).reason


OUTPUTS = (TensorSpec("y", "FP32", (-1, 2)), TensorSpec("t", "BYTES", (-1,)))


@pytest.mark.parametrize(
    ("name", "tolerance", "words"),
    [
        ("z", Tolerance(0, 0), "must name an output"),
        ("t", Tolerance(0, 0, 0.1), "needs an output of numbers"),
        (
            "t",
            Tolerance(0, 0, architectures={"aarch64": Tolerance(0, 0, 0.1)}),
            "needs an output of numbers",
        ),
    ],
)
def test_tolerances_that_make_no_sense_are_refused(name, tolerance, words):
    with pytest.raises(MalformedError, match=words):
        check_tolerances({name: tolerance}, OUTPUTS)


def test_tolerances_of_outputs_pass():
    check_tolerances({"y": Tolerance(0, 0, 0.1), "t": Tolerance(0, 0)}, OUTPUTS)


def on_live_request(expected, got, tolerance=None):
    tolerances = {"y": tolerance} if tolerance else {}
    return compare_live({"y": np.asarray(expected)}, {"y": np.asarray(got)}, tolerances)


def test_on_live_requests_the_winner_counts_where_no_tolerance_is_named():
    live, same, other = [[0.1, 0.9]], [[0.4, 0.6]], [[0.6, 0.4]]

    assert on_live_request(live, same).agrees
    assert "greatest element" in on_live_request(live, other).reason
    assert "differs by 0.3" in on_live_request(live, same, Tolerance(0.1, 0.0)).reason
    wide = Tolerance(1.0, 0.0)
    assert on_live_request(live, other, wide).agrees


@pytest.mark.parametrize(
    ("live", "got"),
    [
        ([0.1, 0.9], [0.4, 0.6]),
        ([[0.1], [0.9]], [[0.4], [0.9]]),
        ([[1, 9]], [[4, 6]]),
        ([["a", "b"]], [["a", "c"]]),
    ],
    ids=["no rows", "one in a row", "integers", "text"],
)
def test_what_is_no_scores_is_compared_by_value_on_live_requests_too(live, got):
    assert not are_scores(np.asarray(live))
    assert not on_live_request(live, got).agrees
    assert on_live_request(live, live).agrees


def test_scores_of_another_shape_or_kind_do_not_agree():
    live = [[0.1, 0.9]]
    assert "shape" in on_live_request(live, [0.1, 0.9]).reason
    assert not on_live_request(live, [["0.1", "0.9"]]).agrees
    assert not on_live_request(live, [[0, 1]]).agrees
    assert "missing" in compare_live({"y": np.asarray(live)}, {}, {}).reason


@pytest.mark.parametrize(
    ("live", "got", "is_alike"),
    [
        ([[math.nan, 0.9]], [[math.nan, 0.6]], True),
        ([[math.nan, 0.9, 0.1]], [[math.nan, 0.1, 0.9]], False),
        ([[-math.inf, -2.0, -1.0]], [[-math.inf, -1.0, -2.0]], False),
        ([[0.1, 0.9]], [[math.nan, 0.9]], False),
        ([[math.nan, 0.9]], [[0.1, 0.9]], False),
        ([[0.1, math.inf]], [[0.1, -math.inf]], False),
    ],
)
def test_live_scores_that_are_no_numbers_agree_with_the_same_ones_alone(
    live, got, is_alike
):
    assert on_live_request(live, got).agrees is is_alike
