"""What the prediction log says of a request is what its client was told."""

import json
import threading
import time
from datetime import UTC, datetime

import pytest

from edge_runtime.prediction_log.folder import DIRECTORY
from tests.edge_runtime.gateways import Gateway, infer_document, wait_for
from tests.edge_runtime.prediction_log.entries import read
from tests.edge_runtime.repositories import put
from tests.edge_runtime.test_hostile_models import counting_model

SOME_MS = [1e5, 0.0, 0.0, 0.0]
"""A row for which the model takes some 50 to 300 ms."""

FOREVER = [1e15, 0.0, 0.0, 0.0]
RUN_S = 2.0
ROW = [1.0, 2.0, 3.0, 4.0]
PATH = "/v2/models/counting/infer"
ODD_PATH = "/v2/models/counting/infer/"
"""As Flask answers it."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    home = tmp_path_factory.mktemp("logged")
    (home / "state").mkdir()
    put(home / "models", "counting", 1, counting_model())
    gateway = Gateway(
        home / "state",
        PACKHORSE_MODELS_DIR=str(home / "models"),
        PACKHORSE_PREDICTION_LOG="full",
        PACKHORSE_PREDICTION_LOG_RATIO="1",
        PACKHORSE_BATCHES_AHEAD_MAX="1",
        PACKHORSE_BATCH_ROWS_MAX="1",
        PACKHORSE_RUN_S=str(RUN_S),
    )
    gateway.wait_serving()
    yield gateway
    assert gateway.stop() == 0


def ask(gateway, name, rows, path=PATH, **headers):
    body = json.dumps({"id": name, **infer_document(rows)})
    return gateway.request("POST", path, body, headers)[:2]


def logged(gateway, matches):
    """Wait for the one record that matches."""

    def look():
        records = read(gateway.state_dir / DIRECTORY)
        return [r.document for r in records if r.is_prediction and matches(r.document)]

    (document,) = wait_for(look, timeout_s=10)
    return document


def logged_as(gateway, name):
    return logged(gateway, lambda document: document["request_id"] == name)


def shapes(tensors):
    return [tensor["shape"] for tensor in tensors]


def test_an_answer_is_logged_with_when_it_was_asked_for(gateway):
    before = datetime.now(UTC)
    begun_s = time.monotonic()
    assert ask(gateway, "slow", [SOME_MS, ROW])[0] == 200
    took_s = time.monotonic() - begun_s
    document = logged_as(gateway, "slow")
    after_s = (datetime.fromisoformat(document["at"]) - before).total_seconds()
    assert document["outcome"] == "ok"
    assert document["rows"] == 2
    assert document["compute_s"] > 0.01
    assert after_s <= took_s - document["compute_s"]


def test_what_came_too_late_for_its_client_is_logged_as_late(gateway):
    assert ask(gateway, "late", [FOREVER], **{"X-Request-Timeout": "0.005"})[0] == 504
    document = logged_as(gateway, "late")
    assert (document["outcome"], document["compute_s"]) == ("late", 0)
    assert 0.005 <= document["queue_s"] < RUN_S
    assert (shapes(document["inputs"]), document["outputs"]) == ([[1, 4]], [])


def test_a_run_that_was_stopped_is_logged_with_the_time_it_took(gateway):
    assert ask(gateway, "stopped", [FOREVER])[0] == 504
    document = logged_as(gateway, "stopped")
    assert document["outcome"] == "stopped"
    assert document["compute_s"] == pytest.approx(RUN_S, abs=0.5)


@pytest.mark.parametrize("path", [PATH, ODD_PATH])
def test_a_request_that_cannot_be_read_is_logged_without_tensors(gateway, path):
    trace = f"00-{len(path):032x}-00f067aa0ba902b7-01"
    status, headers, _ = gateway.request("POST", path, b"{", {"traceparent": trace})
    assert (status, headers["X-Packhorse-Release"]) == (400, "counting@1")
    document = logged(gateway, lambda d: d["traceparent"] == trace)
    assert (document["outcome"], document["rows"]) == ("malformed", 0)
    assert (document["inputs"], document["outputs"]) == ([], [])


def test_a_request_that_was_turned_away_is_logged_with_its_inputs(gateway):
    names = [f"crowd-{number}" for number in range(8)]
    answers = {}

    def keep(name):
        answers[name] = ask(gateway, name, [SOME_MS])

    threads = [threading.Thread(target=keep, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [name for name in names if answers[name][0] == 503]
    assert refused
    for name in refused:
        headers = answers[name][1]
        assert headers["Retry-After"] == "1"
        assert headers["X-Packhorse-Release"] == "counting@1"
    document = logged_as(gateway, refused[0])
    assert (document["outcome"], shapes(document["inputs"])) == (
        "overloaded",
        [[1, 4]],
    )
