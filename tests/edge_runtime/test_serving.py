"""Both protocols and everything else a gateway answers, over real sockets."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.live_requests import read_requests
from edge_runtime.recent import BURST_S
from tests.edge_runtime.gateways import Gateway, install_tiny, wait_for
from tests.models import tiny_answer

ROWS = [[1.0, 2.0, 3.0, 4.0], [0.5, 0.0, -1.0, 2.0]]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    state_dir = tmp_path_factory.mktemp("serving") / "state"
    install_tiny(state_dir, "a", 3, is_active=True)
    gateway = Gateway(state_dir)
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
def empty(start_gateway):
    gateway = start_gateway()
    gateway.wait_serving()
    return gateway


@pytest.mark.parametrize("path", ["/v2/models/tiny", "/v2/models/tiny/versions/3"])
def test_v2_answers_as_the_model_does(gateway, path):
    document = {
        "id": "r-1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": ROWS}],
        "outputs": [{"name": "y"}],
    }
    status, headers, body = gateway.request(
        "POST", f"{path}/infer", json.dumps(document)
    )
    reply = json.loads(body)
    (output,) = reply["outputs"]
    assert status == 200
    assert headers["X-Packhorse-Release"] == "tiny@3"
    assert (reply["id"], reply["model_name"], reply["model_version"]) == (
        "r-1",
        "tiny",
        "3",
    )
    assert (output["name"], output["datatype"], output["shape"]) == (
        "y",
        "FP32",
        [2, 3],
    )
    got = np.reshape(output["data"], (2, 3))
    assert np.allclose(got, tiny_answer(ROWS, 3), atol=1e-5)


@pytest.mark.parametrize("instances", [ROWS, [{"x": row} for row in ROWS]])
def test_instances_answer_as_the_model_does(gateway, instances):
    body = json.dumps({"instances": instances})
    status, headers, reply = gateway.request("POST", "/v1/models/tiny:predict", body)
    assert status == 200
    assert headers["X-Packhorse-Release"] == "tiny@3"
    got = json.loads(reply)["predictions"]
    assert np.allclose(got, tiny_answer(ROWS, 3), atol=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v2/models/tiny/infer", b"{", 400, "must be JSON"),
        ("/v2/models/tiny/infer", b'{"inputs":[]}', 400, "'x' is missing"),
        (
            "/v1/models/tiny:predict",
            b'{"instances":[[1]]}',
            400,
            "[any, 4], came [1, 1]",
        ),
        ("/v2/models/other/infer", b"{}", 404, "expected tiny@3, came 'other'"),
        ("/v2/models/tiny/versions/9/infer", b"{}", 404, "came 'tiny@9'"),
        ("/v1/models/other:predict", b"{}", 404, "expected tiny@3"),
        ("/v2", b"{}", 405, "expected GET or HEAD or OPTIONS here, came POST"),
        ("/v1/models/tiny:predict", b"{}", 400, "'instances', which is missing"),
        ("/v2/models/tiny/infer", b"{}", 400, "'inputs', which is missing"),
        ("/v2/models/tiny/infer", b'{"a":NaN}', 400, "send them in binary tensors"),
    ],
)
def test_a_wrong_request_gets_a_sentence(gateway, path, body, status, words):
    got, _, reply = gateway.request("POST", path, body)
    assert got == status
    assert words in json.loads(reply)["error"]


def test_instances_with_binary_tensors_are_refused_with_a_sentence(gateway):
    status, _, reply = gateway.request(
        "POST",
        "/v1/models/tiny:predict",
        b'{"instances":[[1,2,3,4]]}',
        {"Inference-Header-Content-Length": "25"},
    )
    assert status == 400
    assert "no Inference-Header-Content-Length" in json.loads(reply)["error"]


def test_a_path_with_a_slash_at_its_end_answers_alike(gateway):
    for path in ("/v2", "/v2/health/ready", "/v2/models/tiny", "/status", "/v1/models"):
        assert gateway.get(f"{path}/")[0] == 200, path
    body = json.dumps({"instances": ROWS})
    assert gateway.request("POST", "/v1/models/tiny:predict/", body)[0] == 200


@pytest.mark.parametrize(
    ("header", "milliseconds"), [("0.000001", 60_000), ("60", 1e-3)]
)
def test_of_two_times_to_wait_the_shorter_counts(gateway, header, milliseconds):
    document = {"instances": ROWS, "parameters": {"timeout_ms": milliseconds}}
    status, _, _ = gateway.request(
        "POST",
        "/v1/models/tiny:predict",
        json.dumps(document),
        {"X-Request-Timeout": header},
    )
    assert status == 504


@pytest.mark.parametrize(
    "path",
    [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/health/ready?verbose=1",
        "/v2/models/tiny/ready",
        "/v2/models/tiny/versions/3/ready",
    ],
)
def test_a_warm_gateway_is_live_and_ready(gateway, path):
    assert gateway.get(path)[0] == 200


def test_metadata_names_the_tensors(gateway):
    _, _, body = gateway.get("/v2/models/tiny")
    document = json.loads(body)
    assert document["versions"] == ["3"]
    assert document["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]


def test_the_status_page_shows_the_release_and_shapes_but_no_payload(gateway):
    gateway.infer([[123456.0, 0.0, 0.0, 0.0]])
    status, headers, body = gateway.get("/")
    page = body.decode()
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert "tiny@3" in page
    assert "[1, 4]" in page
    assert "123456" not in page


def test_status_and_metrics_count_what_was_answered(gateway):
    gateway.infer(ROWS)
    document = json.loads(gateway.get("/status")[2])
    assert document["requests"]["infer"]["200"] >= 1
    metrics = gateway.get("/metrics")[2].decode()
    line = 'packhorse_requests_total{model="tiny",release="tiny@3",outcome="ok"} '
    assert line in metrics


def test_recent_requests_can_be_had_as_arrays(gateway):
    for number in range(40):
        if number == 32:  # of a burst only the first are kept
            time.sleep(BURST_S)
        gateway.infer([[float(number), 0.0, 0.0, 0.0]])
    path = gateway.state_dir / "recent"

    reply = gateway.order("recent", path=str(path))

    assert reply["count"] == 32
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("rb") as file:
        last = read_requests(file)[31]
    x = last.inputs["x"]
    assert x.tolist() == [[39.0, 0.0, 0.0, 0.0]]
    assert np.allclose(last.outputs["y"], tiny_answer(x, 3), atol=1e-4)


def test_recent_requests_are_had_once_by_who_says_what_he_has(gateway):
    path = gateway.state_dir / "recent"
    gateway.infer([[1.0, 0.0, 0.0, 0.0]])
    first = gateway.order("recent", path=str(path))
    path.unlink()

    again = gateway.order("recent", path=str(path), after_us=first["last_us"])

    assert again == {"ok": True, "count": 0, "last_us": first["last_us"]}
    assert not path.exists()


def test_recent_requests_are_not_written_elsewhere(gateway, tmp_path):
    reply = gateway.order("recent", path=str(tmp_path / "recent"))
    assert reply["ok"] is False
    assert "state directory" in reply["reason"]


def test_an_unknown_order_is_refused(gateway):
    assert "unknown order" in gateway.order("explode")["reason"]
    assert gateway.order("switch", slot="c")["ok"] is False


def test_without_a_release_a_gateway_is_live_and_says_why_it_is_not_ready(empty):
    assert empty.get("/v2/health/live")[0] == 200
    status, headers, body = empty.get("/v2/health/ready")
    assert headers["Retry-After"] == "5"
    assert (status, json.loads(body)["error"]) == (503, "no release is installed yet")
    assert empty.infer(ROWS) == (503, {"error": "no release is installed yet"})
    assert empty.get("/")[0] == 200
    assert b"No release" in empty.get("/")[2]


def test_the_first_release_is_switched_to_while_it_serves_nothing(empty):
    install_tiny(empty.state_dir, "a", 5)
    assert empty.order("switch", slot="a")["ok"] is True
    assert empty.infer(ROWS)[1]["model_version"] == "5"
    assert empty.status()["previous"] == ""


def test_flask_is_not_loaded_until_it_is_needed(start_gateway, state_dir):
    install_tiny(state_dir, "a", 1, is_active=True)
    gateway = start_gateway()
    pid = gateway.wait_ready()["worker_pid"]
    before = private_bytes(pid)
    gateway.infer(ROWS)
    gateway.get("/v2/health/ready")
    assert private_bytes(pid) - before < 4_000_000
    gateway.get("/")
    wait_for(lambda: private_bytes(pid) - before > 4_000_000)


def private_bytes(pid):
    """Return what a process holds for itself alone."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = [line.split() for line in text.splitlines() if line.startswith("Private_")]
    return sum(int(line[1]) for line in lines) * 1024
