"""The whole function in front of an API that does not say what is deployed."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.functions.prediction.whole_function import (
    PREDICT,
    running,
    until,
    upstream_and_settings,
)
from tests.functions.vertex_stand_in import SERVING

DESCRIPTION = b'{"deployedModels": [{"id": "101", "displayName": "magika@1"}]}'
NAMED_S = 0.25
SLACK_S = 0.25


class Api(ThreadingHTTPServer):
    """Answers predictions at once, and says what is deployed when it is let."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.may_describe = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,)).start()

    def close(self):
        self.may_describe.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"{}")

    def do_GET(self):
        assert self.path == f"/v1/{SERVING}"
        self.server.may_describe.wait()
        self._answer(DESCRIPTION)

    def _answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Vertex-AI-Deployed-Model-Id", "101")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    found = Api()
    yield found
    found.close()


@pytest.fixture
def settings(identity, api, tmp_path):
    with upstream_and_settings(identity, tmp_path) as (_, patch):
        patch.setenv("VERTEX_ENDPOINT", api.url)
        patch.setenv("MODEL_PIN", '{"magika": "magika@1"}')
        yield patch


def test_a_name_is_not_waited_for_where_nothing_is_decided_by_it(
    settings, api, tmp_path
):
    with running(tmp_path) as function:
        first = function.predict(20)
        api.may_describe.set()
        later = until(lambda: named(function.predict(20)), 5)
        lines = [line for line in function.lines()[0] if line.get("tries")]

    assert first.status == 200
    assert "x-packhorse-release" not in first.headers
    assert first.took_s < NAMED_S + SLACK_S
    assert later.headers["x-packhorse-release"] == "magika@1"
    # What is not known yet raises no alarm.
    assert not any(line["is_unexpected"] for line in lines)


def named(answer):
    return answer if "x-packhorse-release" in answer.headers else None


@pytest.mark.parametrize(
    ("enforced", "path"),
    [("1", PREDICT), ("", "/v2/models/magika/versions/1/infer")],
    ids=["enforced", "version"],
)
def test_a_name_is_waited_for_where_something_is_decided_by_it(
    settings, api, tmp_path, enforced, path
):
    settings.setenv("MODEL_PIN_ENFORCE", enforced)
    with running(tmp_path) as function:
        threading.Timer(3 * NAMED_S, api.may_describe.set).start()
        answer = function.predict(20, path=path)

    assert answer.headers["x-packhorse-release"] == "magika@1"
    assert answer.took_s > 2 * NAMED_S


@pytest.mark.parametrize(
    "path", ["/v2/models/magika", "/releases", "/v1/models/magika"]
)
def test_a_description_is_not_waited_for_beyond_the_callers_time(
    settings, api, tmp_path, path
):
    with running(tmp_path) as function:
        answer = function.ask("GET", path, X_Request_Timeout=0.3)
        odd = function.ask("GET", path, X_Request_Timeout="soon")

    assert (answer.status, odd.status) == (504, 400)
    assert 0.29 < answer.took_s < 0.3 + SLACK_S
