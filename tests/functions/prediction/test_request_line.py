"""What one line of log says, and what it never says."""

import json

from functions.prediction.headers import Trace
from functions.prediction.request_line import RequestLine, render

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def a_line(**fields):
    return RequestLine("POST", "/v1/models/m:predict", "id-1", **fields)


def read(line, *, project="p", latency_s=0.25):
    written = render(line, latency_s=latency_s, project=project)
    assert written.count(b"\n") == 1
    return json.loads(written)


def test_a_prediction_is_told_as_cloud_logging_reads_it():
    line = a_line(
        trace=Trace(TRACE, SPAN, is_sampled=True),
        status=200,
        model="m",
        release="m@2",
        deployed_model_id="77",
        tries=2,
        sent_bytes=10,
        received_bytes=20,
        answered_bytes=20,
        upstream_s=0.2,
        elsewhere_s=0.2404,
        is_unexpected=True,
    )

    assert read(line) == {
        "severity": "INFO",
        "message": "predict done",
        "httpRequest": {
            "requestMethod": "POST",
            "requestUrl": "/v1/models/m:predict",
            "status": 200,
            "requestSize": "10",
            "responseSize": "20",
            "latency": "0.250000s",
        },
        "outcome": "done",
        "request_id": "id-1",
        "own_ms": 9.6,
        "model": "m",
        "release": "m@2",
        "deployed_model_id": "77",
        "upstream_ms": 200.0,
        "tries": 2,
        "sent_bytes": 10,
        "received_bytes": 20,
        "is_unexpected": True,
        "logging.googleapis.com/trace": f"projects/p/traces/{TRACE}",
        "logging.googleapis.com/spanId": SPAN,
        "logging.googleapis.com/trace_sampled": True,
    }


def test_a_trace_is_named_alone_where_nobody_said_the_project():
    line = read(a_line(trace=Trace(TRACE)), project="")

    assert line["logging.googleapis.com/trace"] == TRACE
    assert "logging.googleapis.com/spanId" not in line


def test_severity_follows_the_status():
    found = [read(a_line(status=s))["severity"] for s in (200, 404, 499, 500, 504)]

    assert found == ["INFO", "WARNING", "WARNING", "ERROR", "ERROR"]


def test_a_long_or_odd_path_cannot_break_the_line():
    line = RequestLine("POST", '/"}\n\x1b\u2028' + "x" * 5000, "id-1")

    assert len(read(line)["httpRequest"]["requestUrl"]) == 500


def test_a_crash_tells_where_but_not_what():
    line = a_line(status=500, outcome="crashed")
    try:
        {}["secret-token"]
    except KeyError as error:
        line.blame(error)

    written = render(line, latency_s=0.1, project="")
    assert b"KeyError" in written
    assert b"test_request_line.py" in written
    assert b"secret-token" not in written
