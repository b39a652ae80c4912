"""What is measured of a model, and how several processes' measures are summed."""

import json

import pytest

from edge_runtime.measures import OUTCOMES, Histogram, ModelMeasures
from tests.edge_runtime.server_views import NOW_S, busy_measures


def test_a_bound_belongs_to_its_bucket_and_what_is_larger_to_the_last():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.cumulative() == [2, 4, 5]
    assert (histogram.count, histogram.total) == (5, 7.5)


def test_every_outcome_is_counted_from_the_start():
    assert ModelMeasures().requests == dict.fromkeys(OUTCOMES, 0)


def test_measures_that_went_through_json_sum_up_to_those_of_one_process():
    parts = [busy_measures(seed) for seed in (1, 2)]
    sent = [json.loads(json.dumps(part.to_plain())) for part in parts]

    merged = ModelMeasures.merged(sent)

    for name in ("queue_s", "compute_s", "batch_rows", "batches_ahead"):
        counts = [getattr(part, name).counts for part in parts]
        summed = [sum(pair) for pair in zip(*counts, strict=True)]
        assert getattr(merged, name).counts == summed
        total = sum(getattr(part, name).total for part in parts)
        assert getattr(merged, name).total == pytest.approx(total)
    assert merged.rows == sum(part.rows for part in parts)
    assert merged.requests["ok"] == sum(part.requests["ok"] for part in parts)
    assert merged.requests["late"] == 4
    assert merged.last_at_s == max(part.last_at_s for part in parts)
    recent = [sum(s.count for s in m.recent_ms.slots(NOW_S)) for m in (merged, *parts)]
    assert recent[0] == recent[1] + recent[2]


def test_measures_with_other_buckets_are_not_summed():
    with pytest.raises(ValueError, match="zip"):
        Histogram((1.0,)).merge({"counts": [1, 2, 3], "total": 4.0})
