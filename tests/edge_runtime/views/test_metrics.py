"""The metrics as Prometheus reads them."""

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime.counts import Counts
from edge_runtime.views.metrics import write_metrics
from tests.edge_runtime.server_views import (
    busy_measures,
    busy_view,
    model_view,
    server_view,
)


def families(view):
    found = list(text_string_to_metric_families(write_metrics(view)))
    assert len({family.name for family in found}) == len(found)
    return {family.name: family for family in found}


def value(view, name, **labels):
    """Return the one sample of that name with these labels among its own."""
    samples = [s for f in families(view).values() for s in f.samples if s.name == name]
    (found,) = [s.value for s in samples if labels.items() <= s.labels.items()]
    return found


def test_every_family_says_what_it_is():
    for family in families(busy_view()).values():
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}


def test_requests_are_told_by_model_release_and_outcome():
    view = server_view(model_view(measures=busy_measures()))
    labels = {"model": "tiny", "release": "tiny@3"}
    name = "packhorse_requests_total"
    assert value(view, name, outcome="late", **labels) == 2
    assert value(view, name, outcome="overloaded", **labels) == 0
    assert value(view, "packhorse_rows_total", **labels) > 1000


@pytest.mark.parametrize(
    "name",
    [
        "packhorse_queue_seconds",
        "packhorse_compute_seconds",
        "packhorse_batch_rows",
        "packhorse_batches_ahead",
    ],
)
def test_buckets_rise_to_the_count(name):
    samples = families(busy_view())[name].samples
    for release in ("magika@2", "defects@14"):
        mine = [s for s in samples if s.labels["release"] == release]
        buckets = [s for s in mine if s.name == f"{name}_bucket"]
        values = [bucket.value for bucket in buckets]
        (count,) = [s.value for s in mine if s.name == f"{name}_count"]
        (total,) = [s.value for s in mine if s.name == f"{name}_sum"]
        bounds = [float(bucket.labels["le"]) for bucket in buckets]
        assert values == sorted(values)
        assert bounds == sorted(bounds)
        assert bounds[-1] == float("inf")
        assert values[-1] == count > 0
        assert total >= 0


def test_routes_readiness_and_the_process_are_told():
    view = busy_view()
    name = "packhorse_http_requests_total"
    assert value(view, name, route="infer", status="504") == 2
    assert value(view, "packhorse_ready") == 1
    assert value(server_view(), "packhorse_ready") == 0
    assert value(view, "packhorse_model_proven", release="defects@14") == 0
    assert value(view, "packhorse_model_batch_rows_max", release="magika@2") == 32
    assert value(view, "packhorse_build_info", version="0.1.0") == 1
    assert value(view, "packhorse_uptime_seconds") == pytest.approx(187_000, abs=60)
    assert value(view, "process_resident_memory_bytes") == 73_400_320


def test_a_name_with_odd_characters_comes_back_as_it_was():
    name = 'a "quoted" \\ name\nof two lines'
    view = server_view(model_view(name))
    assert value(view, "packhorse_model_ready", model=name) == 1


def test_a_server_without_models_has_metrics_all_the_same():
    view = server_view(log_dropped=5)
    assert value(view, "packhorse_prediction_log_dropped_total") == 5
    assert families(view)["packhorse_requests"].samples == []


def test_twenty_models_are_written_in_milliseconds():
    models = [model_view(f"m{n}", measures=busy_measures()) for n in range(20)]
    view = server_view(*models, counts=Counts())
    begun_s = time.process_time()
    write_metrics(view)
    assert time.process_time() - begun_s < 0.1
