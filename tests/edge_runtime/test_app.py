"""Flask answers as the hot path does, and refuses what neither serves."""

import json
import time

import pytest

from edge_runtime.app import create_app
from edge_runtime.counts import Counts
from edge_runtime.model_session import ModelSession
from edge_runtime.routes import build_routes
from edge_runtime.service import ModelService
from packhorse.names import Release
from tests.edge_runtime.gateways import infer_document
from tests.models import tiny_model

V2 = json.dumps(infer_document([[1.0, 2.0, 3.0, 4.0]])).encode()
INSTANCES = b'{"instances":[[1,2,3,4]]}'


@pytest.fixture
def service(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model())
    return ModelService(Release("tiny", 1), ModelSession(path))


@pytest.fixture
def client(service):
    return create_app(service, Counts(), slot="a").test_client()


@pytest.mark.parametrize("body", [V2, INSTANCES, b"", b"{", b'{"inputs":5}'])
def test_every_route_answers_alike_by_both_transports(service, client, body):
    for (method, path), route in build_routes(service).items():
        direct = route.handler(body)
        flask = client.open(path.decode(), method=method.decode(), data=body)
        assert flask.status_code == direct.status, path
        assert flask.data == direct.body
        assert flask.content_type == direct.content_type
        for name, value in direct.headers:
            assert flask.headers[name] == value


def test_a_path_that_nobody_serves_is_a_sentence(client):
    reply = client.get("/nowhere")
    assert (reply.status_code, reply.json) == (
        404,
        {"error": "nothing is served at '/nowhere'"},
    )


def test_a_wrong_method_says_which_are_allowed(client):
    reply = client.post("/v2")
    assert reply.status_code == 405
    assert "GET" in reply.headers["Allow"]
    assert "error" in reply.json


def test_the_page_of_a_gateway_without_a_release_says_why(service):
    empty = ModelService(reason="<b>the disk</b> is broken")
    page = create_app(empty, Counts(), slot="").test_client().get("/").text
    assert "No release" in page
    assert "not ready" in page
    assert "&lt;b&gt;the disk&lt;/b&gt; is broken" in page


def test_the_page_loads_nothing_from_elsewhere(client):
    reply = client.get("/")
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert "http" not in reply.text.replace("http-equiv", "")


def test_the_page_shows_counts_and_the_last_error(service):
    counts = Counts(clock=lambda: 0.0)
    counts.add("infer", 200, 0.002)
    counts.add("infer", 400, 0.004)
    counts.add("other", 404, 0.0)
    client = create_app(service, counts, slot="a").test_client()
    page, status = client.get("/").text, client.get("/status").json
    assert "3.00 ms" in page
    assert status["last_error"] == {
        "at": "1970-01-01T00:00:00+00:00",
        "route": "infer",
        "status": 400,
    }


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s"), (65, "1 min 5 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")],
)
def test_the_uptime_is_said_in_two_units(service, seconds, words):
    counts = Counts(started_s=time.monotonic() - seconds)
    client = create_app(service, counts, slot="a").test_client()
    assert words in client.get("/").text
