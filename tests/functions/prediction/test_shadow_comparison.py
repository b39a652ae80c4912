"""When a candidate's answer counts as the same as the live one."""

import json

import numpy as np
import pytest

from functions.adapters.upstream.client import Answer
from functions.prediction.shadow_comparison import REASON_MAX, compare_answers
from packhorse.inference.v2 import InferRequest, encode_response
from packhorse.tolerance import Tolerance

SCORES = np.array([[0.1, 0.9]], np.float32)
VALUES = np.array([0.1, 0.9], np.float32)
BINARY = "application/vnd.vertex-ai-triton.binary+json;json-header-size="


def v2(array=SCORES, version="1", *, is_binary=False, request_id="r"):
    request = InferRequest(request_id, {}, None, frozenset({"y"} if is_binary else ()))
    encoded = encode_response("magika", version, request, {"y": array})
    kind = f"{BINARY}{encoded.json_bytes}" if is_binary else "application/json"
    return Answer(200, {"content-type": kind}, encoded.body)


def v1(predictions, status=200):
    body = json.dumps({"predictions": predictions}).encode()
    return Answer(status, {"content-type": "application/json"}, body)


def raw(body, status=200, **headers):
    return Answer(status, headers, body)


def agrees(live, shadow, tolerances=None):
    return compare_answers(live, shadow, tolerances or {}).agrees


def test_ids_and_versions_are_no_outputs():
    assert agrees(v2(), v2(version="2", request_id="other"))


@pytest.mark.parametrize("is_binary", [False, True])
def test_numbers_within_the_tolerance_of_the_golden_samples_agree(is_binary):
    live = v2(VALUES, is_binary=is_binary)
    near = v2(VALUES + np.float32(5e-5), "2", is_binary=is_binary)
    far = v2(VALUES + np.float32(5e-3), "2", is_binary=is_binary)

    assert agrees(live, near)
    found = compare_answers(live, far, {})
    assert found.reason.startswith("output 'y' differs by 0.005")
    assert found.largest_difference == pytest.approx(5e-3, rel=1e-3)


def test_the_same_numbers_agree_in_whatever_form_they_came():
    assert agrees(v2(), v2(version="2", is_binary=True))


def test_a_tolerance_of_ones_own_counts_in_place_of_the_default():
    wide = {"y": Tolerance(0.5, 0.0)}
    narrow_there = {"y": Tolerance(0.5, 0, architectures={"x86_64": Tolerance(0, 0)})}
    other = v2(SCORES + np.float32(0.01), "2")

    assert agrees(v2(), other, wide)
    assert not agrees(v2(), other, narrow_there)


def test_the_greatest_element_may_be_what_counts():
    wins = {"y": Tolerance(1.0, 0.0, argmax_margin=0.0)}
    still = v2(np.array([[0.4, 0.6]], np.float32), "2")
    flipped = v2(np.array([[0.6, 0.4]], np.float32), "2")

    assert agrees(v2(), still, wins)
    assert "greatest element" in compare_answers(v2(), flipped, wins).reason


@pytest.mark.parametrize("is_binary", [False, True])
def test_scores_without_a_tolerance_agree_where_the_same_one_wins(is_binary):
    live = v2(is_binary=is_binary)
    trained_on = v2(np.array([[0.3, 0.7]], np.float32), "2", is_binary=is_binary)
    other = v2(np.array([[0.6, 0.4]], np.float32), "2", is_binary=is_binary)

    found = compare_answers(live, trained_on, {})
    assert found.agrees
    assert found.largest_difference == pytest.approx(0.2, rel=1e-3)
    assert compare_answers(live, other, {}).reason == (
        "output 'y' has another greatest element in 1 of 1 rows, where the live one "
        "led by more than 0"
    )


def test_scores_with_a_tolerance_are_held_to_it():
    trained_on = v2(np.array([[0.3, 0.7]], np.float32), "2")
    assert not agrees(v2(), trained_on, {"y": Tolerance(0.1, 0.0)})
    assert agrees(v2(), trained_on, {"other": Tolerance(0.1, 0.0)})


def test_predictions_are_compared_as_numbers():
    assert agrees(v1([0.1, 0.9]), v1([0.10001, 0.9]))
    assert not agrees(v1([0.1, 0.9]), v1([0.2, 0.8]))


def test_predictions_in_rows_are_scores():
    assert agrees(v1([[0.1, 0.9], [0.7, 0.3]]), v1([[0.2, 0.8], [1, 0]]))
    assert not agrees(v1([[0.1, 0.9], [0.7, 0.3]]), v1([[0.2, 0.8], [0, 1]]))
    by_name = v1([{"label": "pdf", "scores": [0.1, 0.9]}])
    assert agrees(by_name, v1([{"label": "pdf", "scores": [0.3, 0.7]}]))
    assert not agrees(by_name, v1([{"label": "pdf", "scores": [0.7, 0.3]}]))


def test_predictions_of_one_column_are_values():
    assert not agrees(v1([[0.1], [0.9]]), v1([[0.2], [0.9]]))


def test_whole_numbers_in_rows_of_predictions_are_no_scores():
    assert agrees(v1([[101, 2023, 102]]), v1([[101, 2023, 102]]))
    assert not agrees(v1([[101, 2023, 102]]), v1([[7, 2023, 102]]))
    assert agrees(v1([[0, 1]]), v1([[0.4, 0.6]]))


def test_predictions_of_one_output_have_the_only_tolerance_there_is():
    assert agrees(v1([[0.1, 0.9]]), v1([[0.2, 0.8]]), {"y": Tolerance(0.2, 0.0)})


def test_predictions_by_name_are_compared_one_by_one():
    live = v1([{"label": "pdf", "score": 0.5}])

    assert agrees(live, v1([{"label": "pdf", "score": 0.50001}]))
    found = compare_answers(live, v1([{"label": "zip", "score": 0.5}]), {})
    assert found.reason == "output 'label' is not the live one"
    assert found.largest_difference is None


def test_an_output_that_is_missing_or_of_another_shape_does_not_agree():
    assert (
        "missing" in compare_answers(v1([{"a": 1, "b": 2}]), v1([{"a": 1}]), {}).reason
    )
    assert "shape" in compare_answers(v1([1, 2]), v1([1, 2, 3]), {}).reason


def test_no_number_agrees_with_no_number_in_the_same_place_alone():
    live = v2(np.array([1.0, np.nan], np.float32))

    assert agrees(live, v2(np.array([1.0, np.nan], np.float32), "2"))
    assert not agrees(live, v2(np.array([np.nan, np.nan], np.float32), "2"))
    assert not agrees(live, v2(np.array([np.nan, 1.0], np.float32), "2"))
    assert not agrees(live, v2(np.array([1.5, np.nan], np.float32), "2"))


def test_infinities_of_one_sign_agree():
    live = v2(np.array([np.inf, 1], np.float32), is_binary=True)

    assert agrees(live, v2(np.array([np.inf, 1], np.float32), "2", is_binary=True))
    other = v2(np.array([-np.inf, 1], np.float32), "2", is_binary=True)
    assert not agrees(live, other)


@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
def test_no_number_in_the_same_place_hides_no_other_winner(gap):
    live = v2(np.array([[-3.0, -1.0, gap]], np.float32), is_binary=True)
    same = v2(np.array([[-4.0, -1.5, gap]], np.float32), is_binary=True)
    other = v2(np.array([[-1.0, -3.0, gap]], np.float32), is_binary=True)
    broken = v2(np.array([[-3.0, np.nan, gap]], np.float32), is_binary=True)

    assert agrees(live, same)
    # Infinity wins in both, whatever the rest says.
    assert agrees(live, other) == (gap == np.inf)
    assert "one side" in compare_answers(live, broken, {}).reason
    assert "one side" in compare_answers(broken, live, {}).reason


def test_another_status_does_not_agree():
    found = compare_answers(v2(), raw(b"{}", 500), {})
    assert found.reason == "it answered 500, the live one 200"


def test_a_request_that_both_refuse_is_answered_alike_in_whatever_words():
    assert agrees(raw(b"no", 400), raw(b"nein", 400))


def test_what_holds_no_tensors_is_compared_byte_by_byte():
    assert agrees(raw(b"GIF89a"), raw(b"GIF89a"))
    assert not agrees(raw(b"GIF89a"), raw(b"GIF89b"))
    assert not agrees(v2(), raw(b"GIF89a"))


def test_a_coded_body_is_not_read():
    packed = raw(v1([1.0]).body, **{"content-encoding": "br"})
    assert not agrees(v1([1]), packed)


def test_a_reason_stays_short():
    names = {f"{'n' * 200}{i}": 1.0 for i in range(100)}
    other = dict.fromkeys(names, 2.0)
    assert len(compare_answers(v1([names]), v1([other]), {}).reason) == REASON_MAX
