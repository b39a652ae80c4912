"""Live traffic beside a candidate that fails in every way it can."""

import collections
import concurrent.futures
import time
import uuid

import pytest

from functions.prediction.shadow import RUNS_MAX
from tests.functions.prediction.whole_function import (
    running,
    until,
    upstream_and_settings,
)
from tests.functions.vertex_stand_in import CANDIDATE

THREADS = 16
REQUESTS = 200
SOON_S = 3.0
"""No answer takes so long, however busy this machine is: candidates stall longer."""
RUNS_END_S = 10.0
GROWTH_MAX_MIB = 16.0
"""What 32 runs may hold, and some room."""

LONG = {"status": 200, "body": "x" * 1000}
FAULTS = {
    "stall before the answer": {"stall_s": 60},
    "stall in the body": {**LONG, "at": "body", "stall_s": 60},
    "slow body": {**LONG, "at": "body", "bytes_per_s": 20},
    "reset before the answer": {"cut": "reset"},
    "reset in the body": {**LONG, "cut": "reset", "at": "body"},
    "truncated": {**LONG, "length_by": 9},
    "chunks cut short": {**LONG, "is_chunked": True, "cut": "close", "at": "body"},
    "huge": {"status": 200, "body_bytes": 20_000_000},
    "garbage": {"is_garbage": True},
    "503": {"status": 503},
}


@pytest.fixture(scope="module")
def whole(identity, tmp_path_factory):
    """The function, which shadows and logs every request, and its upstream.

    With them comes how many descriptors it had after a first request.
    """
    folder = tmp_path_factory.mktemp("shadow")
    with upstream_and_settings(identity, folder) as (upstream, patch):
        upstream.serve(CANDIDATE, "102", version=2)
        patch.setenv("SHADOW_SHARE", '{"magika": 1.0}')
        patch.setenv("PREDICT_LOG_RATIO", "1")
        with running(folder) as function:
            assert function.predict().status == 200
            descriptors = function.descriptors()
            ask_often(function)
            yield function, upstream, descriptors


def ask_often(function):
    """Ask from some threads; return the statuses, and the longest time."""
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda _: function.predict(), range(REQUESTS)))
    statuses = collections.Counter(answer.status for answer in answers)
    return statuses, max(answer.took_s for answer in answers)


@pytest.mark.parametrize("name", FAULTS)
def test_no_live_answer_fails_or_waits_for_the_candidate(whole, name):
    function, upstream, descriptors = whole
    rss_mib = function.rss_mib()
    upstream.set_faults({**FAULTS[name], "endpoint": CANDIDATE})

    statuses, longest_s = ask_often(function)

    assert upstream.met() > 0
    assert statuses == {200: REQUESTS}
    assert longest_s < SOON_S
    assert function.rss_mib() < rss_mib + GROWTH_MAX_MIB
    upstream.set_faults()
    until(lambda: is_compared(function), RUNS_END_S)
    # Connections are kept, as many as were in use at once: to the model, and to the
    # candidate. However many faults there were, they are no more.
    most = descriptors + THREADS + RUNS_MAX
    until(lambda: function.descriptors() <= most, RUNS_END_S)


def is_compared(function):
    """Ask once more; say whether a comparison is logged for it."""
    request_id = uuid.uuid4().hex
    assert function.predict(X_Request_Id=request_id).status == 200
    time.sleep(0.1)
    lines = function.lines()[0]
    done = [line for line in lines if line.get("event") == "shadow done"]
    return request_id in {line["request_id"] for line in done}
