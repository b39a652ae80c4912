"""What a summary says, against numpy over the whole tensor."""

import ml_dtypes
import numpy as np
import pytest

from packhorse.inference.summary import (
    PIECE_ELEMENTS,
    SEEN_MAX_ELEMENTS,
    summarise,
    top_of_rows,
)

KINDS = ["u1", "i1", "u4", "i8", "u8", "f2", "f4", "f8", ml_dtypes.bfloat16]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("length", [1, 1000, 2 * PIECE_ELEMENTS + 7])
def test_a_summary_agrees_with_numpy(kind, length):
    array = (np.random.default_rng(length).random((1, length)) * 100).astype(kind)
    whole = array.astype(np.float64)

    summary = summarise(array)

    assert summary["min"] == whole.min()
    assert summary["max"] == whole.max()
    assert summary["mean"] == pytest.approx(whole.mean(), rel=1e-9)
    assert summary["std"] == pytest.approx(whole.std(), rel=1e-6, abs=1e-9)
    assert summary["non_finite"] == 0
    assert "seen" not in summary


def test_64_bit_integers_keep_every_digit():
    array = np.array([-(2**63), 2**63 - 1], np.int64)
    assert (summarise(array)["min"], summarise(array)["max"]) == (-(2**63), 2**63 - 1)


def test_what_is_not_finite_is_counted_and_left_out():
    array = np.array([np.nan, 1.0, np.inf, 3.0, -np.inf], np.float32)
    summary = summarise(array)
    assert summary == {"min": 1.0, "max": 3.0, "mean": 2.0, "std": 1.0, "non_finite": 3}


@pytest.mark.parametrize(
    "array",
    [np.zeros((0, 3), np.float32), np.zeros(0, np.int64), np.full(2, np.nan)],
    ids=["no floats", "no integers", "no finite one"],
)
def test_where_there_is_no_number_nothing_is_said_of_it(array):
    summary = summarise(array)
    assert [summary[key] for key in ("min", "max", "mean", "std")] == [None] * 4
    assert summary["non_finite"] == array.size


def test_a_sum_beyond_all_numbers_is_null_and_no_warning():
    summary = summarise(np.array([1.7e308, 1.7e308, -1.7e308]))
    assert summary["max"] == 1.7e308
    assert summary["std"] is None


def test_scalars_and_truth_values_have_summaries():
    assert summarise(np.array(7.0))["mean"] == 7.0
    assert summarise(np.array([True, False, True, True]))["mean"] == 0.75


def test_a_very_long_tensor_is_seen_in_part_and_says_so():
    array = np.zeros(SEEN_MAX_ELEMENTS * 2 + PIECE_ELEMENTS, np.uint8)
    assert 0 < summarise(array)["seen"] <= SEEN_MAX_ELEMENTS


def test_of_text_only_lengths_are_said():
    array = np.array([["secret", "ü"], ["", b"\xff\xfe"]], dtype=object)
    assert summarise(array) == {"min_bytes": 0, "max_bytes": 6, "mean_bytes": 2.5}


def test_each_row_of_scores_has_its_top_class():
    scores = np.array([[0.1, 0.7, 0.2], [np.nan, 0.1, np.inf]], np.float32)
    assert top_of_rows(scores) == [[1, pytest.approx(0.7)], [1, pytest.approx(0.1)]]


def test_a_row_without_a_finite_score_has_no_top_class():
    assert top_of_rows(np.full((1, 3), np.nan)) == [[None, None]]


@pytest.mark.parametrize(
    "array",
    [np.zeros(3), np.zeros((1, 3, 3)), np.zeros((2, 1)), np.zeros((1, 3), np.int64)],
    ids=["vector", "image", "one column", "integers"],
)
def test_what_is_no_matrix_of_scores_has_no_top_class(array):
    assert top_of_rows(array) is None
