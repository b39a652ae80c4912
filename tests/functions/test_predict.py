"""The prediction function in front of the Vertex AI stand-in."""

import json
import os
import subprocess
import sys
import time

import pytest

from functions import settings
from functions.adapters.vertex import Vertex
from packhorse.names import Release
from tests.functions.conftest import lead_to_google, lead_to_vertex
from tests.functions.vertex_stand_in import (
    CANDIDATE,
    PARENT,
    SERVING,
    VertexStandIn,
)

ONE, TWO = Release("magika", 1), Release("magika", 2)
ROWS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}


def until(condition):
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Cloud:
    """Deploys releases on the serving endpoint."""

    def __init__(self, stand_in):
        self.stand_in = stand_in
        self.vertex = Vertex(settings.serving_settings(os.environ))

    def serve(self, release):
        number = self.stand_in.upload(release)
        until(
            lambda: self.vertex.ensure_deployed(
                SERVING,
                release,
                version=f"{PARENT}/models/magika@{number}",
                deployed_id=f"10{release.version}",
            )
        )
        self.vertex.move_traffic(self.vertex.read_endpoint(SERVING), {release: 100})


@pytest.fixture(scope="module")
def served(identity, tmp_path_factory):
    """A stand-in that serves release 1, for all tests that leave it so."""
    folder = tmp_path_factory.mktemp("served")
    stand_in = VertexStandIn(folder / "vertex")
    with pytest.MonkeyPatch.context() as patch:
        lead_to_google(patch, identity, folder)
        lead_to_vertex(patch, stand_in)
        Cloud(stand_in).serve(ONE)
    yield stand_in
    stand_in.stop()


@pytest.fixture
def client(client_of, served, google_account, monkeypatch):
    lead_to_vertex(monkeypatch, served)
    return client_of("predict")


@pytest.fixture
def cloud(vertex):
    """A stand-in of the test's own, which it may change or kill."""
    found = Cloud(vertex)
    found.serve(ONE)
    return found


@pytest.fixture
def fragile(client_of, cloud):
    """A client of the test's own stand-in."""
    return client_of("predict")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/models/magika:predict",
        "/v2/models/magika/infer",
        "/v2/models/magika/versions/1/infer",
    ],
)
def test_every_way_to_ask_reaches_the_model_and_names_the_release(client, path):
    reply = client.post(path, json=ROWS)

    assert reply.status_code == 200
    assert reply.json["outputs"][0]["data"] == [2.0, 4.0]
    assert reply.headers["X-Packhorse-Release"] == "magika@1"
    assert reply.headers["X-Request-Id"]


def test_a_models_own_error_comes_back_with_status_and_body(client):
    reply = client.post("/v1/models/magika:predict", json={"status": 422})

    assert reply.status_code == 422
    assert reply.json == {"error": "no inputs", "release": "magika@1"}


def test_a_callers_request_id_is_kept_and_logged(client, capsys):
    reply = client.post("/", json=ROWS, headers={"X-Request-Id": "abc-1"})

    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert reply.headers["X-Request-Id"] == "abc-1"
    assert line["event"] == "predict done"
    assert (line["request_id"], line["release"]) == ("abc-1", "magika@1")
    assert line["sent_bytes"] > 0


def test_a_request_id_that_could_break_a_log_is_replaced(client):
    reply = client.post("/", json=ROWS, headers={"X-Request-Id": "a b{}"})

    assert len(reply.headers["X-Request-Id"]) == 32


def test_a_body_above_the_limit_never_goes_upstream(fragile, cloud):
    cloud.stand_in.process.kill()
    cloud.stand_in.process.wait()

    reply = fragile.post("/", data=b"x" * 1_500_001)

    assert reply.status_code == 413
    assert "1500000" in reply.json["error"]
    assert reply.headers["X-Request-Id"]


def test_binary_tensors_travel_with_their_size_in_the_content_type(client):
    reply = client.post(
        "/v2/models/magika/infer",
        data=b"{}\x00\x00",
        headers={"Inference-Header-Content-Length": "2"},
    )

    assert json.loads(reply.data) == {
        "came": "application/vnd.vertex-ai-triton.binary+json;json-header-size=2"
    }
    assert reply.headers["Inference-Header-Content-Length"] == "2"
    assert reply.headers["Content-Type"] == "application/octet-stream"


def test_a_header_size_that_is_no_number_is_refused(client):
    headers = {"Inference-Header-Content-Length": "two"}

    reply = client.post("/v2/models/magika/infer", data=b"{}", headers=headers)

    assert reply.status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/other:predict"),
        ("POST", "/v2/models/magika"),
        ("POST", "/nowhere"),
        ("GET", "/v2/models/other"),
        ("GET", "/v2/models/magika/versions/9"),
        ("GET", "/v2/models/magika/infer"),
        ("DELETE", "/"),
    ],
)
def test_what_is_not_here_is_said_so(client, method, path):
    reply = client.open(path, method=method, json=ROWS)

    assert reply.status_code == 404
    assert reply.json["error"]


def test_health_and_metadata_are_answered_without_the_model(client):
    assert client.get("/v2/health/live").json == {"live": True}
    assert client.get("/v2/health/ready").json == {"ready": True}
    assert client.get("/v2/models/magika/ready").json["ready"]
    assert client.get("/v2/models/magika/versions/1").json["versions"] == ["1"]
    assert client.get("/v2").json["name"] == "packhorse"


def test_an_upstream_that_is_away_is_unavailable_and_says_no_more(fragile, cloud):
    cloud.stand_in.process.kill()
    cloud.stand_in.process.wait()

    reply = fragile.post("/", json=ROWS)

    assert reply.status_code == 503
    assert reply.json == {"error": "Vertex AI gave no usable answer"}
    assert fragile.get("/v2/models/magika").status_code == 503


def test_an_answer_that_takes_too_long_is_given_up(client, monkeypatch):
    monkeypatch.setenv("PREDICT_TIMEOUT_S", "0.2")

    reply = client.post("/", json={**ROWS, "sleep_s": 1})

    assert reply.status_code == 503


def test_a_release_deployed_later_is_named_too(fragile, cloud, monkeypatch):
    assert fragile.post("/", json=ROWS).headers["X-Packhorse-Release"] == "magika@1"
    monkeypatch.setattr("functions.adapters.raw_predict.LOOK_AGAIN_S", 0.0)
    cloud.serve(TWO)

    reply = fragile.post("/", json=ROWS)

    assert reply.headers["X-Packhorse-Release"] == "magika@2"


def test_an_answer_of_another_release_than_the_pinned_is_counted(
    client, capsys, monkeypatch
):
    monkeypatch.setenv("MODEL_PIN", '{"magika": "magika@2"}')

    reply = client.post("/", json=ROWS)

    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert reply.status_code == 200
    assert line["is_unpinned"]


def test_an_answer_of_another_release_is_refused_when_the_pin_is_enforced(
    client, monkeypatch
):
    monkeypatch.setenv("MODEL_PIN", '{"magika": "magika@2"}')
    monkeypatch.setenv("MODEL_PIN_ENFORCE", "1")

    reply = client.post("/", json=ROWS)

    assert reply.status_code == 502
    assert reply.json["error"] == "magika@1 answered, and only magika@2 may"


def test_an_answer_of_another_version_than_asked_for_is_not_given(client):
    reply = client.post("/v2/models/magika/versions/7/infer", json=ROWS)

    assert reply.status_code == 404
    assert "outputs" not in reply.json


def test_with_several_models_the_root_path_asks_for_a_name(client, monkeypatch):
    named = {"candidate": CANDIDATE, "serving": SERVING}
    monkeypatch.setenv("MODEL_ENDPOINTS", json.dumps({"a": named, "b": named}))

    reply = client.post("/", json=ROWS)

    assert reply.status_code == 404
    assert "here are 2" in reply.json["error"]


def test_a_fresh_process_loads_neither_onnxruntime_nor_a_google_sdk():
    heavy = ["grpc", "google.protobuf", "google.api_core", "google.cloud.aiplatform_v1"]
    heavy += ["numpy", "onnxruntime", "sqlalchemy", "tuf", "requests", "paho"]
    script = (
        "import sys, functions_framework\n"
        "functions_framework.create_app('predict', 'main.py')\n"
        "from functions.adapters import raw_predict\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )

    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "[]"
