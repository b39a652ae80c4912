"""A server seen as it is now, several processes of it as one."""

import dataclasses
import json

import numpy as np
import pytest

from edge_runtime.counts import Counts
from edge_runtime.model_session import ModelSession
from edge_runtime.models.models import Models
from edge_runtime.models.run_plan import RunPlan
from edge_runtime.models.served_model import ServedModel
from edge_runtime.settings.serve_settings import Limits
from edge_runtime.views.overview import Overview, overview_routes
from tests.models import tiny_model


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model())
    plan = RunPlan(rows_max=128, run_s=0.00001, is_slow=False)
    sample = {"x": np.zeros((1, 4), np.float32)}
    return ServedModel("tiny", "3", ModelSession(path), plan, "slot a", sample)


@pytest.fixture
def overview(model):
    models = Models()
    models.add(model)
    return Overview(models, Counts(), Limits(), slot="a")


def test_a_model_is_seen_with_its_plan_and_its_measures(overview, model):
    model.measures.rows = 7
    view = overview.look()
    (seen,) = view.models
    assert (view.release, view.slot, view.is_ready) == ("tiny@3", "a", True)
    assert (seen.release, seen.measures.rows, seen.is_latest) == ("tiny@3", 7, True)
    assert seen.rows_max == Limits().batch_rows_max
    assert list(seen.signature.inputs) == ["x"]
    assert view.process.resident_bytes > 10_000_000


def test_without_a_slot_no_release_is_seen_but_the_models_are(overview):
    view = dataclasses.replace(overview, slot="").look()
    assert (view.release, view.slot, view.is_ready) == ("", "", True)
    assert [seen.release for seen in view.models] == ["tiny@3"]


def test_predictions_are_seen_without_what_was_in_them(overview, model):
    x = np.zeros((2, 4), np.float32)
    scores = np.array([[0.1, 0.7, 0.2], [0.9, 0.0, 0.1]], np.float32)
    model.recent.add({"x": x}, {"y": scores}, at_s=10.0, took_s=0.002)
    model.recent.add({"x": x}, {"y": scores.astype(np.int64)}, at_s=11.0)
    newest, older = overview.look().predictions
    assert (older.inputs, older.outputs) == ({"x": (2, 4)}, {"y": (2, 3)})
    assert (older.classes, older.took_ms) == ((1, 0), 2.0)
    assert (newest.classes, newest.took_ms) == ((), None)


def test_several_processes_are_seen_as_one(model):
    models = Models()
    models.add(model)
    model.measures.rows, model.measures.requests["ok"] = 5, 4
    counts = Counts()
    counts.add("infer", 200, 0.001)
    alone = Overview(models, counts, Limits(), log_dropped=lambda: 2)
    sent = json.loads(json.dumps(alone.note()))
    several = Overview(models, counts, Limits(), others=lambda: [sent, sent])

    view = several.look()

    assert view.models[0].measures.rows == 15
    assert view.models[0].measures.requests["ok"] == 12
    assert view.counts.describe() == {"infer": {"200": 3}}
    assert (view.process.count, view.log_dropped) == (3, 4)
    assert model.measures.rows == 5


def test_what_programs_ask_for_needs_no_flask(overview):
    routes = overview_routes(overview.look)
    assert b"packhorse_ready 1" in routes["/metrics"](b"").body
    assert json.loads(routes["/openapi.json"](b"").body)["openapi"] == "3.1.0"
