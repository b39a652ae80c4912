"""A candidate beside the active release, on requests that really came."""

import math

import numpy as np
import pytest

from edge_runtime.agent.trial.race import ENTERED_MAX, Race
from edge_runtime.agent.trial.shadow import ShadowRun
from edge_runtime.errors import ModelError, OverrunError
from edge_runtime.live_requests import LiveRequest
from packhorse.inference.datatypes import numpy_type
from packhorse.shadow_limits import NO_LIMITS, ShadowLimits
from packhorse.tolerance import Tolerance


def request(x, y):
    return LiveRequest(
        {"x": np.array([x], np.float32)}, {"y": np.array([y], np.float32)}
    )


REQUESTS = [request([1, 2], [1, 2]), request([-4, 9], [-4, 9])]


def shadow_of(requests, run, tolerances=None, *, limits=NO_LIMITS, race=None):
    shadow = ShadowRun(run, tolerances or {}, race)
    for one in requests:
        shadow.answer(one)
    return shadow.result(limits)


def same(inputs, _names):
    return {"y": inputs["x"]}


def opposite(inputs, _names):
    return {"y": -inputs["x"]}


def test_a_candidate_that_answers_alike_agrees():
    shadow = shadow_of(REQUESTS, same)
    assert shadow.reason == ""
    assert shadow.measures == {"shadow_requests": 2.0, "shadow_agreement": 1.0}


def test_nan_where_the_active_release_was_finite_is_refused_with_a_count():
    with np.errstate(invalid="ignore"):
        shadow = shadow_of(REQUESTS, lambda i, _: {"y": np.sqrt(i["x"])})
    assert "output 'y' was not finite" in shadow.reason
    assert "1 of 2 live requests" in shadow.reason


def test_nan_where_the_active_release_was_nan_too_is_no_reason():
    both = [request([1, 2], [np.nan, 1])]
    shadow = shadow_of(both, lambda _i, _o: {"y": both[0].outputs["y"]})
    assert shadow.reason == ""


def test_nan_beside_one_of_the_active_release_is_a_reason():
    one = request([1, 2], [np.nan, 1])
    shadow = shadow_of([one], lambda _i, _o: {"y": np.full((1, 2), np.nan, "f")})
    assert "not finite" in shadow.reason


def test_nan_in_bf16_is_a_reason():
    one = LiveRequest({}, {"y": np.ones((1, 2), numpy_type("BF16"))})
    shadow = shadow_of([one], lambda _i, _o: {"y": one.outputs["y"] * np.nan})
    assert "not finite" in shadow.reason


def test_without_limits_a_candidate_that_disagrees_is_measured_and_not_refused():
    shadow = shadow_of(REQUESTS, opposite)
    assert shadow.reason == ""
    assert shadow.measures["shadow_agreement"] == 0.0


def test_a_candidate_that_disagrees_too_often_is_refused_by_its_limit():
    limits = ShadowLimits(min_agreement=0.6, min_requests=2)
    requests = [*REQUESTS, request([3, 3], [3, 3])]

    assert shadow_of(requests, opposite, limits=limits).reason == (
        "of 3 live requests 33.3% were answered as the active release did, expected"
        " at least 60.0% (output 'y' differed on 2)"
    )


def test_a_limit_judges_nothing_where_too_few_requests_came():
    limits = ShadowLimits(1.0, 0.001, min_requests=3)
    assert shadow_of(REQUESTS, opposite, limits=limits).reason == ""


def test_a_winner_counts_only_if_it_led_by_more_than_the_margin():
    one = request([0, 0], [0.50, 0.46])
    run = lambda _i, _o: {"y": np.array([[0.48, 0.49]], np.float32)}  # noqa: E731

    def agreement(margin):
        tolerances = {"y": Tolerance(0.0, 0.0, margin)}
        return shadow_of([one], run, tolerances).measures["shadow_agreement"]

    assert agreement(None) == 0.0
    assert agreement(0.03) == 0.0
    assert agreement(0.05) == 1.0


def test_a_candidate_of_another_shape_does_not_agree():
    shadow = shadow_of(REQUESTS, lambda i, _: {"y": i["x"][:, :1]})
    assert shadow.measures["shadow_agreement"] == 0.0


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ModelError, "2 of 2 live requests could not be run"),
        (OverrunError, "2 of 2 live requests took too long"),
    ],
)
def test_a_candidate_that_cannot_run_live_requests_is_refused(error, sentence):
    def fail(_inputs, _outputs):
        raise error("no")

    assert shadow_of(REQUESTS, fail).reason == sentence


def test_values_that_are_no_scores_are_compared_by_value():
    one = LiveRequest({}, {"n": np.array([3], np.int64)})
    same = shadow_of([one], lambda _i, _o: {"n": np.array([3], np.int64)})
    other = shadow_of([one], lambda _i, _o: {"n": np.array([4], np.int64)})
    assert same.measures["shadow_agreement"] == 1.0
    assert other.measures["shadow_agreement"] == 0.0


def test_text_is_compared_by_itself():
    one = LiveRequest({}, {"t": np.array([["a", "ü"]], object)})
    same = shadow_of([one], lambda _i, _o: {"t": np.array([["a", "ü"]], object)})
    other = shadow_of([one], lambda _i, _o: {"t": np.array([["a", "u"]], object)})
    assert same.measures["shadow_agreement"] == 1.0
    assert other.measures["shadow_agreement"] == 0.0


def test_without_live_requests_there_is_nothing_to_tell():
    assert shadow_of([], same).measures == {"shadow_requests": 0.0}


def spinning(rounds):
    def run(inputs, _names):
        sum(range(rounds))
        return {"y": inputs["x"]}

    return run


def test_a_candidate_that_takes_too_long_is_refused_by_its_limit():
    slow, fast = spinning(200_000), spinning(10_000)
    limits = ShadowLimits(max_latency_ratio=3.0, min_requests=2)

    shadow = shadow_of(REQUESTS, slow, limits=limits, race=Race(slow, fast))

    assert shadow.measures["latency_ratio"] > 3.0
    assert "times as long as the active release" in shadow.reason
    quick = shadow_of(REQUESTS, fast, limits=limits, race=Race(fast, slow))
    assert quick.reason == ""


def test_only_some_requests_are_run_on_the_active_release_too():
    ran = []

    def active(inputs, _names):
        ran.append(1)
        return {"y": inputs["x"]}

    shadow_of(REQUESTS * ENTERED_MAX, same, race=Race(same, active))
    assert len(ran) == ENTERED_MAX + 1


def test_an_active_release_of_another_signature_gives_no_ratio():
    def fail(_inputs, _names):
        raise ModelError("no")

    limits = ShadowLimits(max_latency_ratio=0.001, min_requests=1)
    shadow = shadow_of(REQUESTS, same, limits=limits, race=Race(same, fail))
    assert shadow.reason == ""
    assert "latency_ratio" not in shadow.measures
    assert all(math.isfinite(value) for value in shadow.measures.values())
