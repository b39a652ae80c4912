"""From a caller's request over the candidate's answer to the ledger's sums."""

import json
import signal
import socket
import time

import pytest

from functions.prediction.stopping import FINISH_S
from functions.release.shadows import decode_shadow_report
from packhorse.names import Release
from tests.functions.prediction.whole_function import (
    ROWS,
    running,
    until,
    upstream_and_settings,
)
from tests.functions.vertex_stand_in import CANDIDATE, SERVING

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


def end(function):
    """Send SIGTERM; say how long it took to be gone."""
    begun = time.monotonic()
    function.process.send_signal(signal.SIGTERM)
    function.process.wait(20)
    return time.monotonic() - begun


def test_an_idle_instance_that_must_end_loses_no_sums(cloud, topics, tmp_path):
    with running(tmp_path) as function:
        for _ in range(3):
            assert function.predict().status == 200
        until(lambda: len(events(function, "shadow done")) == 3)

        took_s = end(function)

    (body,) = topics.read("shadows")
    assert decode_shadow_report(body).counts.agreed == 3
    assert took_s < FINISH_S + 2


def test_a_pubsub_that_stalls_does_not_keep_an_instance(cloud, monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as never_answers:
        port = never_answers.getsockname()[1]
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
        with running(tmp_path) as function:
            assert function.predict().status == 200
            until(lambda: events(function, "shadow done"))

            took_s = end(function)

        assert took_s < FINISH_S + 2
        assert events(function, "shadow sums kept back")
        assert function.process.returncode == 0


def test_a_candidate_that_stalls_delays_no_caller(cloud, tmp_path):
    cloud.set_faults({"endpoint": CANDIDATE, "stall_s": 30})

    with running(tmp_path) as function:
        took_s = [function.predict().took_s for _ in range(20)]
        assert cloud.met() > 0

    assert max(took_s) < 1.0


def test_a_caller_that_leaves_ends_its_run_too(cloud, monkeypatch, tmp_path):
    """Even while the function looks up which release has answered."""
    monkeypatch.setenv("MODEL_PIN", '{"magika": "magika@1"}')
    monkeypatch.setenv("MODEL_PIN_ENFORCE", "1")
    cloud.set_faults({"on": "reads", "endpoint": SERVING, "stall_s": 30})

    with running(tmp_path) as function:
        with pytest.raises(TimeoutError):
            function.predict(limit_s=1.0)
        (line,) = until(lambda: events(function, "shadow counts"), 5)

    assert cloud.asked() == 1
    assert line["counts"] == {"no_live_answer": 1}


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
