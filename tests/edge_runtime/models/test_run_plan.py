"""Requests are joined where that changes no answer and pays, and nowhere else."""

import time

import numpy as np
import pytest

from edge_runtime.model_session import ModelSession
from edge_runtime.models.run_plan import ROWS_MAX, measure_plan
from edge_runtime.models.trial_rows import agree, different_rows
from edge_runtime.models.warm import zero_inputs
from tests import odd_models


@pytest.fixture
def load(tmp_path):
    def load(body):
        path = tmp_path / "model.onnx"
        path.write_bytes(body)
        return ModelSession(path)

    return load


def golden(session, count=8):
    """Return samples that look like real ones: all of about the same range."""
    random = np.random.default_rng(1)
    shape = [1, *session.inputs[0].shape[1:]]
    rows = [random.uniform(-1, 1, shape).astype(np.float32) for _ in range(count)]
    for row in rows:
        row.flat[0], row.flat[-1] = 1, -1  # the very same range
    return [{session.inputs[0].name: row} for row in rows]


def test_a_network_whose_rows_are_strangers_is_run_in_batches(load):
    session = load(odd_models.mlp())
    plan = measure_plan(session, golden(session))
    assert plan.rows_max > 1
    assert 0 < plan.run_s < 0.05


def test_rows_are_joined_whatever_a_converter_called_the_outputs_axis(load):
    session = load(odd_models.mlp(axis=None, out_axis="unk__7"))
    assert measure_plan(session, golden(session)).rows_max > 1


def test_a_model_without_samples_is_tried_on_rows_made_of_zeros(load):
    session = load(odd_models.mlp())
    assert measure_plan(session, [zero_inputs(session)]).rows_max > 1


def test_words_are_tried_with_words_that_the_model_knows(load):
    session = load(odd_models.embedded(words=50))
    ids = np.array([[3, 1, 4, 1, 5, 9, 49, 6]])
    rows = different_rows([{"ids": ids}], 8)

    assert len(rows) >= 6
    assert all(np.isin(row["ids"], ids).all() for row in rows)
    assert agree(session, rows, limit_s=1.0)


@pytest.mark.parametrize(
    "build",
    [
        odd_models.normalised_over_the_batch,
        odd_models.quantised_per_tensor,
        odd_models.scaled_by_the_largest,
        odd_models.running_sum,
        odd_models.recurrent,
        odd_models.rolling_dice,
    ],
    ids=lambda build: build.__name__,
)
@pytest.mark.parametrize("has_golden", [True, False], ids=["golden", "zeros"])
def test_a_model_whose_rows_know_of_each_other_is_run_alone(load, build, has_golden):
    session = load(build())
    samples = golden(session) if has_golden else [zero_inputs(session)]
    assert measure_plan(session, samples).rows_max == 1
    assert not agree(session, different_rows(samples, 8), limit_s=1.0)


def test_a_scale_for_all_rows_is_known_by_name_where_only_labels_come_out(load):
    session = load(odd_models.quantised_label())
    assert session.batch_axis
    assert measure_plan(session, golden(session)).rows_max == 1


def test_two_inputs_are_joined_only_along_an_axis_that_both_have(load):
    x = np.ones((1, 3), np.float32)
    same = load(odd_models.two_inputs("n", "n"))
    assert same.batch_axis
    other = load(odd_models.two_inputs("queries", "documents"))
    assert not other.batch_axis
    assert measure_plan(other, [{"a": x, "b": x}]).rows_max == 1


@pytest.mark.parametrize(
    ("build", "sample"),
    [
        (odd_models.no_inputs, {}),
        (odd_models.overridable, {"x": np.ones(1, np.float32)}),
        (odd_models.optional_input, {}),
        (lambda: odd_models.identity("FP32", (1, 2)), {"x": np.ones((1, 2), "f4")}),
        (lambda: odd_models.identity("FP32", ()), {"x": np.ones((), "f4")}),
    ],
    ids=["no inputs", "overridable", "optional", "fixed", "scalar"],
)
def test_what_has_no_free_axis_everywhere_is_run_alone(load, build, sample):
    session = load(build())
    plan = measure_plan(session, [sample])
    assert plan.rows_max == 1
    assert not plan.is_slow


def test_a_model_that_fails_on_made_up_rows_is_run_alone(load):
    session = load(odd_models.lookup(rows=1))
    assert measure_plan(session, [{"x": np.zeros(1, np.int64)}]).rows_max == 1


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "INT64", "BYTES", "BOOL"])
def test_rows_of_every_datatype_can_be_tried(load, datatype):
    session = load(odd_models.identity(datatype, ("n", 4)))
    samples = [zero_inputs(session)]
    if datatype in {"BYTES", "BOOL"}:
        texts = np.array([["a", "", "b", "c"]], np.object_)
        samples = [{"x": texts if datatype == "BYTES" else texts.astype(bool)}]
    assert agree(session, different_rows(samples, 8), limit_s=1.0)


def test_a_long_model_runs_in_a_thread_and_its_measuring_takes_little(load):
    session = load(odd_models.mlp(width=3000))
    sample = zero_inputs(session)
    session.run(sample)

    begun_s = time.process_time()
    plan = measure_plan(session, [sample])

    assert time.process_time() - begun_s < 0.4
    assert plan.is_slow
    assert plan.rows_max <= ROWS_MAX


def test_a_very_long_model_is_not_run_again_to_be_measured(load):
    session = load(odd_models.mlp())
    plan = measure_plan(session, golden(session), known_s=2.0)
    assert (plan.rows_max, plan.run_s, plan.is_slow) == (1, 2.0, True)


class OnABusyMachine:
    """A session whose every run waits for others to let it have the processor."""

    def __init__(self, session):
        self._session = session

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run(self, *arguments, **options):
        time.sleep(0.02)
        return self._session.run(*arguments, **options)


def test_a_busy_machine_changes_nothing_of_how_a_model_is_run(load):
    session = load(odd_models.mlp())
    plan = measure_plan(OnABusyMachine(session), golden(session))
    assert plan.rows_max > 1
    assert not plan.is_slow
