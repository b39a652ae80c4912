"""Callers that leave, and a process that must end."""

import http.client
import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functions.prediction.whole_function import (
    ROWS,
    running,
    until,
    upstream_and_settings,
)

GONE_BY_S = 10.0
"""Cloud Run kills then."""


@pytest.fixture(scope="module")
def upstream(identity, tmp_path_factory):
    with upstream_and_settings(identity, tmp_path_factory.mktemp("ends")) as found:
        yield found


@pytest.fixture
def function(upstream, tmp_path):
    with running(tmp_path) as found:
        yield found


def slow(seconds):
    return json.dumps({**ROWS, "sleep_s": seconds}).encode()


def outcomes(function):
    return [line.get("outcome") for line in function.lines()[0]]


def begin(function, body):
    """Send a request and wait for no answer."""
    client = socket.create_connection(("127.0.0.1", function.port), timeout=20)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def wait_asked(upstream, before):
    """Wait until a request has come through the function."""
    until(lambda: upstream[0].asked() > before)


def end(function):
    """Send SIGTERM to all of it, as a container's end does; say how long it took."""
    begun = time.monotonic()
    os.kill(function.process.pid, signal.SIGTERM)
    function.process.wait(20)
    return time.monotonic() - begun


def test_a_caller_that_leaves_is_noticed_and_its_call_is_called_off(function, upstream):
    assert function.predict().status == 200
    before, asked = function.descriptors(), upstream[0].asked()

    begin(function, slow(20)).close()

    until(lambda: "gone" in outcomes(function))
    until(lambda: function.descriptors() <= before)
    assert upstream[0].asked() == asked + 1
    (line,) = [one for one in function.lines()[0] if one["outcome"] == "gone"]
    assert line["httpRequest"]["status"] == 499
    assert float(line["httpRequest"]["latency"][:-1]) < 5


def test_a_caller_that_leaves_in_the_middle_of_its_body_is_noticed(function):
    client = socket.create_connection(("127.0.0.1", function.port), timeout=20)
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
    client.close()

    until(lambda: "gone" in outcomes(function))
    assert function.predict().status == 200


def test_who_is_under_way_at_the_end_is_answered(function, upstream):
    asked = upstream[0].asked()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(function.ask, "POST", "/", slow(1.5))
        wait_asked(upstream, asked)

        took_s = end(function)

    assert answer.result().status == 200
    assert took_s < GONE_BY_S / 2


def test_a_process_that_does_nothing_ends_at_once(function):
    assert end(function) < GONE_BY_S / 4


def test_who_cannot_be_answered_before_the_end_is_told_so(function, upstream):
    asked = upstream[0].asked()
    # One sends half a request, and one never reads what it gets.
    half = socket.create_connection(("127.0.0.1", function.port), timeout=20)
    half.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
    deaf = begin(function, slow(12))
    client = http.client.HTTPConnection("127.0.0.1", function.port, timeout=20)
    client.request("POST", "/", slow(12))
    wait_asked(upstream, asked + 1)

    with ThreadPoolExecutor() as pool:
        ended = pool.submit(end, function)
        reply = client.getresponse()
        document = json.load(reply)

    assert ended.result() < GONE_BY_S
    assert reply.status == 503
    assert int(reply.headers["Retry-After"]) >= 1
    assert document == {"error": "this instance ends; ask again"}
    for one in (half, deaf, client):
        one.close()


def test_a_second_signal_changes_nothing(function, upstream):
    asked = upstream[0].asked()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(function.ask, "POST", "/", slow(1.5))
        wait_asked(upstream, asked)
        os.kill(function.worker, signal.SIGTERM)

        took_s = end(function)

    assert answer.result().status == 200
    assert took_s < GONE_BY_S / 2
