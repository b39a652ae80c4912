"""The documents of Triton's extensions; its own client reads them in `real_clients`."""

import numpy as np
import pytest

from edge_runtime.model_session import ModelSession
from edge_runtime.models.models import IndexEntry
from edge_runtime.models.run_plan import RunPlan
from edge_runtime.models.served_model import ServedModel
from edge_runtime.triton import (
    check_load,
    check_unload,
    model_config,
    repository_index,
    statistics,
)
from packhorse.errors import MalformedError
from tests.edge_runtime.real_clients.repository import (
    constant_model,
    scalar_model,
    twice_model,
)
from tests.models import tiny_model

INDEX = [
    IndexEntry("tiny", "2", "READY", ""),
    IndexEntry("tiny", "1", "UNAVAILABLE", "unloaded"),
]


@pytest.fixture
def serve(tmp_path):
    """Load a model as a process serves it."""

    def load(body, rows_max=1):
        path = tmp_path / "model.onnx"
        path.write_bytes(body)
        plan = RunPlan(rows_max=rows_max)
        session = ModelSession(path)
        return ServedModel("tiny", "2", session, plan, "slot a", sample={})

    return load


def test_a_model_that_is_run_alone_has_the_shapes_of_its_requests(serve):
    config = model_config(serve(tiny_model()))

    assert config["max_batch_size"] == 0
    assert "dynamic_batching" not in config
    assert config["input"] == [
        {"name": "x", "data_type": "TYPE_FP32", "dims": (-1, 4), "optional": False}
    ]
    assert config["version_policy"] == {"specific": {"versions": [2]}}


def test_a_model_that_is_run_in_batches_has_the_shapes_of_one_row(serve):
    config = model_config(serve(tiny_model(), rows_max=64))

    assert config["max_batch_size"] == 64
    assert config["dynamic_batching"] == {}
    assert [each["dims"] for each in config["input"]] == [(4,)]
    assert [each["dims"] for each in config["output"]] == [(3,)]


def test_where_a_row_has_no_axes_the_batch_is_told_as_an_axis(serve):
    config = model_config(serve(twice_model(), rows_max=64))

    assert config["max_batch_size"] == 0
    assert config["input"][0]["dims"] == (-1,)
    assert config["input"][0]["data_type"] == "TYPE_STRING"


def test_scalars_and_models_without_inputs_are_described(serve):
    scalar, constant = serve(scalar_model()), serve(constant_model())

    assert model_config(scalar)["input"][0]["dims"] == ()
    assert model_config(constant)["input"] == []


def test_statistics_are_those_that_were_measured(serve):
    model = serve(tiny_model())
    measures = model.measures
    measures.requests |= {"ok": 5, "malformed": 2, "late": 1}
    measures.rows, measures.last_at_s = 9, 1_700_000_000.5
    for seconds in (0.25, 0.5):
        measures.compute_s.observe(seconds)
        measures.queue_s.observe(seconds / 2)

    (told,) = statistics([model])["model_stats"]

    assert (told["inference_count"], told["execution_count"]) == (9, 2)
    assert told["last_inference"] == 1_700_000_000_500
    stats = told["inference_stats"]
    assert stats["success"] == {"count": 5, "ns": 1_125_000_000}
    assert stats["fail"]["count"] == 3
    assert stats["queue"] == {"count": 2, "ns": 375_000_000}
    assert stats["compute_infer"] == {"count": 2, "ns": 750_000_000}


def test_a_model_that_answered_nothing_has_statistics_as_well(serve):
    (told,) = statistics([serve(tiny_model())])["model_stats"]

    assert told["inference_stats"]["success"] == {"count": 0, "ns": 0}


def test_the_index_names_every_version_with_its_state():
    index = repository_index(INDEX, b"")

    assert index[1] == {
        "name": "tiny",
        "version": "1",
        "state": "UNAVAILABLE",
        "reason": "unloaded",
    }
    assert repository_index(INDEX, b'{"ready":true}') == index[:1]
    assert repository_index(INDEX, b'{"ready":false}') == index


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"parameters":{}}', b'{"parameters":null}']
)
def test_a_model_may_be_loaded_as_it_is(body):
    check_load(body)
    check_unload(body)


def test_a_client_may_say_what_becomes_of_dependents():
    check_unload(b'{"parameters":{"unload_dependents":true}}')


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "must be JSON"),
        (b"\xff", "must be JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"parameters":5}', "'parameters' must be an object"),
        (b'{"parameters":{"config":"{}"}}', "came 'config'"),
        (b'{"parameters":{"file:1/model.onnx":"aGk="}}', "came 'file:1/model.onnx'"),
    ],
)
def test_a_model_is_loaded_in_no_other_way(body, words):
    for check in (check_load, check_unload):
        with pytest.raises(MalformedError, match=words):
            check(np.frombuffer(body, np.uint8).data)
