"""From a caller's request over the candidate's answer to the ledger's sums."""

import json

import pytest

from packhorse.names import Release
from tests.functions.prediction.whole_function import (
    ROWS,
    running,
    until,
    upstream_and_settings,
)
from tests.functions.vertex_stand_in import CANDIDATE

ONE, TWO = Release("magika", 1), Release("magika", 2)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def cloud(identity, topics, project, tmp_path):
    """Release 1 answers callers, release 2 stands on the candidate endpoint."""
    with upstream_and_settings(identity, tmp_path) as (upstream, patch):
        upstream.serve(CANDIDATE, "102", version=2)
        patch.setenv("GOOGLE_CLOUD_PROJECT", project)
        patch.setenv("SHADOW_SHARE", '{"magika": 1.0}')
        patch.setenv("PREDICT_LOG", "full")
        patch.setenv("PREDICT_LOG_RATIO", "1")
        yield upstream


def events(function, name):
    return [line for line in function.lines()[0] if line.get("event") == name]


def test_what_shadow_runs_find_reaches_the_ledger(
    cloud, topics, ledger, push, project, tmp_path
):
    with running(tmp_path) as function:
        for number in range(5):
            reply = function.predict(
                traceparent=TRACEPARENT, X_Request_Id=f"r-{number}"
            )
            assert reply.status == 200
            assert reply.headers["x-packhorse-release"] == "magika@1"
        done = until(
            lambda: len(found := events(function, "shadow done")) == 5 and found
        )
    sent = topics.read("shadows")

    assert all(line["agrees"] for line in done)
    assert {line["request_id"] for line in done} == {f"r-{n}" for n in range(5)}
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (
        done[0]["logging.googleapis.com/trace"] == f"projects/{project}/traces/{trace}"
    )
    assert cloud.asked(CANDIDATE) == 5
    for body in [*sent, *sent]:
        assert push("record_shadows", body).status_code == 200
    counts = ledger.shadow_counts(ONE, TWO)
    assert (counts.agreed, counts.differed, counts.failed) == (5, 0, 0)
    assert counts.latency_ratio > 0


def test_a_candidate_that_stalls_delays_no_caller(cloud, tmp_path):
    cloud.set_faults({"endpoint": CANDIDATE, "stall_s": 30})

    with running(tmp_path) as function:
        took_s = [function.predict().took_s for _ in range(20)]
        assert cloud.met() > 0

    assert max(took_s) < 1.0


def test_the_inference_log_has_what_was_asked_and_answered(cloud, tmp_path):
    with running(tmp_path) as function:
        function.predict(traceparent=TRACEPARENT, X_Request_Id="r-1")
        (line,) = until(lambda: events(function, "prediction"))

    assert (line["model"], line["version"], line["outcome"]) == ("magika", "1", "ok")
    assert (line["request_id"], line["traceparent"]) == ("r-1", TRACEPARENT)
    (x,) = line["inputs"]
    assert (x["name"], x["datatype"]) == ("x", ROWS["inputs"][0]["datatype"])
    assert line["outputs"]
    assert json.dumps(line["outputs"])
