"""A thousand slow clients beside fast ones."""

import time

import pytest

from tests.functions.prediction.slow_clients import SlowClients, latencies_s, p99
from tests.functions.prediction.whole_function import (
    running,
    until,
    upstream_and_settings,
)

MANY = 1000
BESIDE_S = 5.0
"""Each slow client sends or reads about so many bytes meanwhile."""
LET_GO_S = 20.0
"""An answer that nobody takes for so long is thrown away."""
IDLE_UPSTREAM = 140
"""Connections to the upstream that are kept when a thousand have asked at once."""


@pytest.fixture(scope="module")
def whole(identity, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slow")
    with (
        upstream_and_settings(identity, folder) as (upstream, _),
        running(folder) as function,
    ):
        yield function, upstream


def well(upstream, size=200_000):
    upstream.set_faults({"status": 200, "body_bytes": size})


@pytest.mark.parametrize("kind", ["head", "body", "read"])
def test_a_thousand_slow_clients_do_not_starve_fast_ones(whole, kind):
    function, upstream = whole
    well(upstream)
    alone = p99(latencies_s(function, 300))
    descriptors, rss_mib = function.descriptors(), function.rss_mib()

    slow = SlowClients(function.port, MANY, (kind,))
    try:
        # Those who read have all asked at once; that is over first.
        until(lambda: function.predict().took_s < 0.2)
        beside, until_s = [], time.monotonic() + BESIDE_S
        while time.monotonic() < until_s:
            beside += latencies_s(function, 20)
        most_mib = function.rss_mib()
    finally:
        slow.close()

    assert p99(sorted(beside)) < 3 * alone + 0.1
    assert most_mib < rss_mib + 60
    until(lambda: function.descriptors() <= descriptors + IDLE_UPSTREAM, 10)


def test_memory_ends_before_the_patience_with_those_who_do_not_read(whole):
    function, upstream = whole
    well(upstream, 4_000_000)
    rss_mib = function.rss_mib()

    slow = SlowClients(function.port, MANY, ("read",))
    try:
        until(lambda: function.ask("GET", "/v2/health/live").took_s < 0.2)
        most_mib = function.rss_mib()
        statuses = {function.predict(5).status for _ in range(20)}
    finally:
        slow.close()

    assert statuses <= {200, 503}
    assert most_mib < rss_mib + 400
    well(upstream)
    until(lambda: function.predict(5).status == 200, 5)


def test_who_does_not_read_a_long_answer_shuts_others_out_for_a_while_only(whole):
    function, upstream = whole
    well(upstream, 4_000_000)

    slow = SlowClients(function.port, 40, ("read",))
    try:
        until(lambda: function.predict(5).status == 200, LET_GO_S)
    finally:
        slow.close()
        well(upstream)
