"""Percentiles of latencies that are only counted."""

import numpy as np
import pytest

from edge_runtime.bench.latencies import Latencies


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_percentiles_are_right_within_a_hundredth(share):
    values = np.random.default_rng(3).lognormal(11, 1, 5000).astype(int)
    latencies = Latencies()
    for value in values.tolist():
        latencies.add(value)
    expected = np.quantile(values, share, method="inverted_cdf")
    assert latencies.percentile_ns(share) == pytest.approx(expected, rel=0.006)


def test_no_percentile_exceeds_the_longest():
    latencies = Latencies()
    latencies.add(1_000_003)
    assert latencies.percentile_ns(0.99) <= latencies.longest_ns == 1_000_003


def test_without_latencies_all_is_zero():
    assert Latencies().percentile_ns(0.5) == 0


@pytest.mark.parametrize("elapsed_ns", [0, 1, 2**60])
def test_no_latency_is_too_short_or_too_long(elapsed_ns):
    latencies = Latencies()
    latencies.add(elapsed_ns)
    assert latencies.count == 1
