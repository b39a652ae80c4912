"""The bench's upstream answers as Vertex AI does, after its pause."""

import http.client
import subprocess
import sys
import time
from contextlib import closing

import pytest

from bench.predict.samples import DEPLOYED_ID, ENDPOINT, RELEASE, SMALL, is_right
from bench.predict.samples import request_body as body_of
from local_cloud.ports import free_port

PAUSE_S = 0.05


@pytest.fixture(scope="module")
def port():
    chosen = free_port()
    options = ["--port", str(chosen), "--pause-ms", str(PAUSE_S * 1000)]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.predict.upstream", *options]
    )
    yield chosen
    process.kill()
    process.wait()


def ask(port, method, path, body=None):
    deadline = time.monotonic() + 20
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with closing(connection):
            try:
                connection.request(method, path, body)
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
                continue
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()


@pytest.mark.parametrize("method", ["predict", "rawPredict"])
def test_predictions_come_after_the_pause_and_name_who_answered(port, method):
    ask(port, "GET", "/")
    begun = time.monotonic()

    path = f"/v1/{ENDPOINT}:{method}?$alt=json"
    status, headers, body = ask(port, "POST", path, body_of(SMALL))

    assert time.monotonic() - begun >= PAUSE_S
    assert status == 200
    assert headers["X-Vertex-AI-Deployed-Model-Id"] == DEPLOYED_ID
    assert is_right(body)


def test_the_endpoint_says_what_is_deployed(port):
    status, _, body = ask(port, "GET", f"/v1/{ENDPOINT}")

    assert status == 200
    assert RELEASE.encode() in body


def test_nothing_else_is_there(port):
    status, _, _ = ask(port, "GET", "/v1/else")

    assert status == 404


def test_answers_that_say_something_else_are_not_right():
    assert not is_right(b'{"predictions": [[0.1]]}')
    assert not is_right(b"no JSON")
    assert not is_right(b"[]")


def test_bodies_differ_by_seed_and_are_as_long_as_they_should_be():
    assert body_of(SMALL, 0) != body_of(SMALL, 1)
    assert 15_000 < len(body_of(SMALL)) < 17_000
