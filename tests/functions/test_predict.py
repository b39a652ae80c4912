"""The prediction function, as it is deployed, in front of the Vertex AI stand-in."""

import gzip
import http.client
import json
import os
import socket
import subprocess
import sys

import pytest

from functions import settings
from functions.adapters.vertex import Vertex
from packhorse.names import Release
from tests.functions.conftest import lead_to_google, lead_to_vertex
from tests.functions.prediction.whole_function import Function, running, until
from tests.functions.vertex_stand_in import (
    CANDIDATE,
    PARENT,
    SERVING,
    VertexStandIn,
)

ONE, TWO = Release("magika", 1), Release("magika", 2)
ROWS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


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
    """The settings that lead to a stand-in that serves release 1."""
    folder = tmp_path_factory.mktemp("served")
    stand_in = VertexStandIn(folder / "vertex")
    with pytest.MonkeyPatch.context() as patch:
        lead_to_google(patch, identity, folder)
        lead_to_vertex(patch, stand_in)
        Cloud(stand_in).serve(ONE)
        yield patch
    stand_in.stop()


@pytest.fixture(scope="module")
def function(served, tmp_path_factory):
    """One process for all tests that change nothing."""
    with running(tmp_path_factory.mktemp("function")) as found:
        yield found


@pytest.fixture
def function_with(served, tmp_path):
    """Start a process with other settings."""
    started = []

    def start(**env):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            started.append(Function(tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def cloud(vertex):
    """A stand-in of the test's own, which it may change or kill."""
    found = Cloud(vertex)
    found.serve(ONE)
    return found


@pytest.fixture
def fragile(cloud, tmp_path):
    """A process in front of the test's own stand-in."""
    with running(tmp_path) as found:
        yield found


def ask(function, path="/v1/models/magika:predict", document=ROWS, **headers):
    return function.ask("POST", path, json.dumps(document).encode(), **headers)


def last_line(function, request_id):
    (line,) = [
        line for line in function.lines()[0] if line.get("request_id") == request_id
    ]
    return line


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/models/magika:predict",
        "/v1/models/magika:rawPredict",
        "/v2/models/magika/infer",
        "/v2/models/magika/versions/1/infer",
    ],
)
def test_every_way_to_ask_reaches_the_model_and_names_the_release(function, path):
    reply = ask(function, path)

    assert reply.status == 200
    assert json.loads(reply.body)["outputs"][0]["data"] == [2.0, 4.0]
    assert reply.headers["x-packhorse-release"] == "magika@1"
    assert reply.headers["x-request-id"]


def test_a_models_own_error_comes_back_with_status_and_body(function):
    reply = ask(function, document={"status": 422})

    assert reply.status == 422
    assert json.loads(reply.body) == {"error": "no inputs", "release": "magika@1"}
    assert reply.headers["x-request-id"]


def test_one_line_of_log_tells_of_a_prediction_and_gives_nothing_away(function):
    reply = ask(
        function,
        "/v1/models/magika:predict?key=secret-query",
        X_Request_Id="abc-1",
        Authorization="Bearer secret-token",
        traceparent=f"00-{TRACE}-00f067aa0ba902b7-01",
    )

    assert reply.headers["x-request-id"] == "abc-1"
    line = last_line(function, "abc-1")
    assert line["severity"] == "INFO"
    assert line["httpRequest"]["requestUrl"] == "/v1/models/magika:predict"
    assert line["httpRequest"]["status"] == 200
    assert (line["model"], line["release"]) == ("magika", "magika@1")
    assert (line["deployed_model_id"], line["tries"]) == ("101", 1)
    assert line["received_bytes"] == len(reply.body)
    trace = f"projects/{os.environ['GOOGLE_CLOUD_PROJECT']}/traces/{TRACE}"
    assert line["logging.googleapis.com/trace"] == trace
    assert "secret" not in function.log.read_text()


def test_a_request_id_that_could_break_a_log_is_replaced(function):
    reply = ask(function, X_Request_Id="a b{}")

    assert len(reply.headers["x-request-id"]) == 32


def test_a_body_above_the_limit_never_goes_upstream(fragile, cloud):
    cloud.stand_in.process.kill()
    cloud.stand_in.process.wait()

    reply = fragile.ask("POST", body=b"x" * 1_500_001)

    assert reply.status == 413
    assert "1500000" in json.loads(reply.body)["error"]
    assert reply.headers["x-request-id"]


def test_a_body_that_says_it_is_too_long_is_refused_before_it_comes(function):
    with socket.create_connection(("127.0.0.1", function.port), timeout=10) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1500001\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )

        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_unknown_length_is_cut_at_the_limit(function):
    client = http.client.HTTPConnection("127.0.0.1", function.port, timeout=10)
    chunks = (b"x" * 100_000 for _ in range(16))

    client.request(
        "POST",
        "/",
        chunks,
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"},
    )

    assert client.getresponse().status == 413
    client.close()


def test_a_dedicated_endpoint_takes_longer_bodies(function_with, served):
    own = {"name": SERVING, "kind": "dedicated", "url": os.environ["VERTEX_ENDPOINT"]}
    function = function_with(MODEL_ENDPOINTS=json.dumps({"magika": {"serving": own}}))

    reply = function.ask("POST", body=b"x" * 10_000_001)

    assert reply.status == 413
    assert "10000000" in json.loads(reply.body)["error"]


def test_binary_tensors_travel_with_their_size_in_the_content_type(function):
    reply = function.ask(
        "POST",
        "/v2/models/magika/infer",
        b"{}\x00\x00",
        Inference_Header_Content_Length=2,
    )

    assert json.loads(reply.body) == {
        "came": "application/vnd.vertex-ai-triton.binary+json;json-header-size=2"
    }
    assert reply.headers["inference-header-content-length"] == "2"
    assert reply.headers["content-type"] == "application/octet-stream"


def test_a_header_size_that_is_no_number_is_refused(function):
    reply = ask(
        function, "/v2/models/magika/infer", Inference_Header_Content_Length="two"
    )

    assert reply.status == 400


def test_a_compressed_body_is_unpacked_for_vertex_forwards_no_coding(function):
    body = gzip.compress(json.dumps(ROWS).encode())

    reply = function.ask("POST", body=body, Content_Encoding="gzip")

    assert reply.status == 200
    assert json.loads(reply.body)["outputs"][0]["data"] == [2.0, 4.0]


def test_a_coding_that_nobody_knows_is_refused(function):
    assert ask(function, Content_Encoding="br").status == 415


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/other:predict", 404),
        ("POST", "/nowhere", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/magika/versions/9", 404),
        ("GET", "/v2/models/magika/config", 404),
        ("POST", "/v2/models/magika", 405),
        ("GET", "/v2/models/magika/infer", 405),
        ("DELETE", "/", 405),
    ],
)
def test_what_is_not_here_is_said_so(function, method, path, status):
    reply = function.ask(method, path)

    assert reply.status == status
    assert json.loads(reply.body)["error"]


def test_health_and_metadata_are_answered_without_the_model(function):
    def get(path):
        return json.loads(function.ask("GET", path).body)

    assert get("/v2/health/live") == {"live": True}
    assert get("/v2/health/ready") == {"ready": True}
    assert get("/v2/models/magika/ready")["ready"]
    assert get("/v1/models/magika")["ready"]
    assert get("/v2/models/magika/versions/1")["versions"] == ["1"]
    assert get("/v2")["name"] == "packhorse"
    assert get("/") == {"status": "alive"}


def test_head_is_answered_like_get_without_a_body(function):
    reply = function.ask("HEAD", "/v2/health/live")

    assert (reply.status, reply.body) == (200, b"")


def test_the_index_lists_what_is_deployed(function):
    reply = function.ask("POST", "/v2/repository/index", b"{}")

    assert json.loads(reply.body) == [
        {"name": "magika", "version": "1", "state": "READY", "reason": ""}
    ]


def test_releases_tell_what_is_expected_deployed_and_answered(function_with):
    function = function_with(MODEL_PIN='{"magika": "magika@2"}')
    ask(function)

    (model,) = json.loads(function.ask("GET", "/releases").body)["models"]

    assert model["expected"]["releases"] == ["magika@2"]
    assert model["expected"]["source"] == "pin"
    assert [(d["release"], d["share"]) for d in model["deployed"]] == [
        ("magika@1", 100)
    ]
    (answered,) = model["answered"]
    assert (answered["release"], answered["unexpected"]) == ("magika@1", 1)


def test_an_upstream_that_is_away_is_unavailable_and_says_no_more(fragile, cloud):
    cloud.stand_in.process.kill()
    cloud.stand_in.process.wait()

    reply = ask(fragile)

    assert reply.status == 503
    assert int(reply.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in reply.body.decode()
    assert fragile.ask("GET", "/v2/models/magika").status == 503


def test_an_answer_that_takes_too_long_is_given_up(function_with):
    function = function_with(PREDICT_TIMEOUT_S="0.2")

    assert ask(function, document={**ROWS, "sleep_s": 1}).status == 504


@pytest.mark.parametrize("way", ["header", "parameter"])
def test_a_callers_own_deadline_is_kept(function, way):
    document = {**ROWS, "sleep_s": 2}
    if way == "parameter":
        document["parameters"] = {"timeout": 300_000}
    headers = {"X_Request_Timeout": 0.3} if way == "header" else {}

    reply = ask(function, "/v2/models/magika/infer", document, **headers)

    assert reply.status == 504
    assert reply.took_s < 1.5


def test_a_body_that_does_not_come_in_time_is_given_up(function):
    with socket.create_connection(("127.0.0.1", function.port), timeout=10) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"X-Request-Timeout: 0.1\r\n\r\n1"
        )

        assert client.recv(100).startswith(b"HTTP/1.1 408 ")
        while client.recv(1000):
            pass


def test_a_release_deployed_later_is_named_too(fragile, cloud):
    assert ask(fragile).headers["x-packhorse-release"] == "magika@1"
    cloud.serve(TWO)

    until(lambda: ask(fragile).headers.get("x-packhorse-release") == "magika@2")


def test_an_answer_of_another_release_than_the_pinned_is_counted(function_with):
    function = function_with(MODEL_PIN='{"magika": "magika@2"}')

    reply = ask(function, X_Request_Id="pinned")

    assert reply.status == 200
    assert last_line(function, "pinned")["is_unexpected"]


def test_an_answer_of_another_release_is_refused_when_the_pin_is_enforced(
    function_with,
):
    function = function_with(MODEL_PIN='{"magika": "magika@2"}', MODEL_PIN_ENFORCE="1")

    reply = ask(function)

    assert reply.status == 502
    assert json.loads(reply.body) == {
        "error": "magika@1 answered, and only magika@2 may"
    }


def test_an_answer_of_another_version_than_asked_for_is_not_given(function):
    reply = ask(function, "/v2/models/magika/versions/7/infer")

    assert reply.status == 404
    assert b"outputs" not in reply.body


def test_a_version_that_is_not_deployed_is_refused_before_anything_is_sent(function):
    reply = ask(function, "/v2/models/magika/versions/7/infer", X_Request_Id="seven")

    assert reply.status == 404
    assert "tries" not in last_line(function, "seven")


def test_with_several_models_the_root_path_asks_for_a_name(function_with):
    named = {"candidate": CANDIDATE, "serving": SERVING}
    function = function_with(MODEL_ENDPOINTS=json.dumps({"a": named, "b": named}))

    reply = ask(function, "/")

    assert reply.status == 404
    assert "here are 2" in json.loads(reply.body)["error"]


def test_a_fresh_process_loads_neither_onnxruntime_nor_a_google_sdk():
    heavy = ["grpc", "google.protobuf", "google.api_core", "google.cloud.aiplatform_v1"]
    heavy += ["numpy", "onnxruntime", "sqlalchemy", "tuf", "paho", "orjson"]
    script = (
        "import sys, functions_framework.aio\n"
        "functions_framework.aio.create_asgi_app('predict', 'main.py')\n"
        "from functions.adapters import bearer_token, deployed_releases\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )

    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "[]"
