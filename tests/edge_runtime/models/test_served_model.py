"""Who is to blame for a failed run, and when a model is not ready any more."""

import numpy as np
import pytest

from edge_runtime.errors import ModelError
from edge_runtime.model_session import ModelSession
from edge_runtime.models.run_plan import RunPlan
from edge_runtime.models.served_model import FAILURES_MAX, RETRY_S, ServedModel
from edge_runtime.run_watch import RunWatch
from tests import odd_models
from tests.edge_runtime.gateways import wait_for
from tests.edge_runtime.inference.test_batcher import loop_model

GOOD = {"x": np.array([0])}
BAD = {"x": np.array([99])}
FAILED = ModelError("the model failed while it ran")


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def serve(tmp_path, clock):
    def serve(sample):
        path = tmp_path / "model.onnx"
        path.write_bytes(odd_models.lookup())
        session = ModelSession(path)
        return ServedModel(
            "lookup", "3", session, RunPlan(), "slot a", sample, clock=clock
        )

    return serve


def test_a_model_that_still_answers_its_sample_is_not_to_blame(serve):
    model = serve(GOOD)
    for _ in range(2 * FAILURES_MAX):
        with pytest.raises(ModelError) as failure:
            model.session.run(BAD)
        assert model.failed(failure.value) is False
    assert model.is_ready


def test_a_model_that_fails_on_its_sample_several_times_is_not_ready(serve):
    model = serve(BAD)
    for _ in range(FAILURES_MAX - 1):
        assert model.failed(FAILED) is True
        assert model.is_ready

    assert model.failed(FAILED) is True

    assert not model.is_ready
    assert model.reason == (
        "lookup@3 failed 5 times in a row, on its own sample too:"
        " the model failed while it ran"
    )


def test_one_success_forgets_the_failures(serve):
    model = serve(BAD)
    for _ in range(FAILURES_MAX - 1):
        model.failed(FAILED)
    model.succeeded()
    model.failed(FAILED)
    assert model.is_ready


def test_a_model_that_is_not_ready_is_tried_again_after_a_while(serve, clock):
    model = serve(BAD)
    for _ in range(FAILURES_MAX):
        model.failed(FAILED)
    model.sample = GOOD  # the machine has memory again, say

    model.try_again()
    assert not model.is_ready
    clock.now_s += RETRY_S
    model.try_again()

    wait_for(lambda: model.is_ready)
    assert model.failures == 0


def test_a_model_that_fails_again_stays_unready_until_the_next_time(serve, clock):
    model = serve(BAD)
    for _ in range(FAILURES_MAX):
        model.failed(FAILED)
    clock.now_s += RETRY_S
    model.try_again()
    wait_for(lambda: "6 times" in model.reason)
    model.try_again()
    assert "6 times" in model.reason


def test_a_slow_model_is_tried_again_for_as_long_as_a_run_may_take(tmp_path, clock):
    path = tmp_path / "model.onnx"
    path.write_bytes(loop_model())
    watch = RunWatch(20.0)
    session = ModelSession(path, watch=watch)
    sample = {"x": np.array(2**18)}
    model = ServedModel("loop", "1", session, RunPlan(), "slot a", sample, clock=clock)
    watch.shorten_here(0.02)
    for _ in range(FAILURES_MAX):
        assert model.failed(FAILED)
    assert not model.is_ready

    clock.now_s += RETRY_S
    model.try_again()

    wait_for(lambda: model.is_ready)


def test_every_answer_names_the_release(serve):
    model = serve(GOOD)
    assert model.release == "lookup@3"
    assert model.headers == (("X-Packhorse-Release", "lookup@3"),)
