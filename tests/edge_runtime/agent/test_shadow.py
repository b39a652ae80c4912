"""A candidate beside the active release, on requests that really came."""

import numpy as np

from edge_runtime.agent.shadow import LiveRequest, read_recent, run_shadow
from edge_runtime.errors import ModelError


def request(x, y):
    return LiveRequest(
        {"x": np.array([x], np.float32)}, {"y": np.array([y], np.float32)}
    )


REQUESTS = [request([1, 2], [1, 2]), request([-4, 9], [-4, 9])]


def test_a_candidate_that_answers_alike_agrees():
    shadow = run_shadow(REQUESTS, lambda inputs, _: {"y": inputs["x"]}, {})
    assert shadow.reason == ""
    assert shadow.measures == {"shadow_requests": 2.0, "shadow_agreement": 1.0}


def test_nan_where_the_active_release_was_finite_is_refused_with_a_count():
    with np.errstate(invalid="ignore"):
        shadow = run_shadow(REQUESTS, lambda i, _: {"y": np.sqrt(i["x"])}, {})
    assert "output 'y' was not finite" in shadow.reason
    assert "1 of 2 live requests" in shadow.reason


def test_nan_where_the_active_release_was_nan_too_is_no_reason():
    both = [request([1, 2], [np.nan, 1])]
    shadow = run_shadow(both, lambda _i, _o: {"y": both[0].outputs["y"]}, {})
    assert shadow.reason == ""


def test_a_candidate_that_disagrees_is_measured_and_not_refused():
    shadow = run_shadow(REQUESTS, lambda inputs, _: {"y": -inputs["x"]}, {})
    assert shadow.reason == ""
    assert shadow.measures["shadow_agreement"] == 0.0


def test_a_candidate_of_another_shape_does_not_agree():
    shadow = run_shadow(REQUESTS, lambda i, _: {"y": i["x"][:, :1]}, {})
    assert shadow.measures["shadow_agreement"] == 0.0


def test_a_candidate_that_cannot_run_live_requests_is_refused():
    def fail(_inputs, _outputs):
        raise ModelError("no")

    shadow = run_shadow(REQUESTS, fail, {})
    assert shadow.reason == "2 of 2 live requests could not be run"


def test_values_that_are_no_scores_are_compared_by_value():
    one = LiveRequest({}, {"n": np.array([3], np.int64)})
    same = run_shadow([one], lambda _i, _o: {"n": np.array([3], np.int64)}, {})
    other = run_shadow([one], lambda _i, _o: {"n": np.array([4], np.int64)}, {})
    assert same.measures["shadow_agreement"] == 1.0
    assert other.measures["shadow_agreement"] == 0.0


def test_without_live_requests_there_is_nothing_to_tell():
    assert run_shadow([], lambda _i, _o: {}, {}).measures == {"shadow_requests": 0.0}


def test_recent_requests_are_read_in_their_order(tmp_path):
    arrays = {f"i.{k}.input.x": np.array([k]) for k in (10, 2)}
    arrays |= {f"i.{k}.output.a.b": np.array([-k]) for k in (10, 2)}
    np.savez(tmp_path / "recent.npz", stranger=np.array([0]), **arrays)

    found = read_recent(tmp_path / "recent.npz")

    assert [int(r.inputs["x"][0]) for r in found] == [2, 10]
    assert int(found[0].outputs["a.b"][0]) == -2


def test_a_file_that_holds_no_arrays_is_no_reason_to_refuse_a_release(tmp_path):
    path = tmp_path / "recent.npz"
    path.write_bytes(b"nonsense")
    assert read_recent(path) == []


def test_pickled_objects_are_never_opened(tmp_path):
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "recent.npz", **{"i.0.input.x": objects})
    assert read_recent(tmp_path / "recent.npz") == []
