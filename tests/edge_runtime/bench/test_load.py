"""What the load shows of servers that behave, and of those that do not."""

import socket

import pytest

from edge_runtime.bench.load import Plan, run_load
from edge_runtime.bench.target import Target
from edge_runtime.errors import BenchError
from tests.edge_runtime.bench.servers import OK, serve

MESSAGE = b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


def load(answer, connections=2, **parts):
    settings = {"duration_s": 0.3, "warm_up_s": 0.05, "tell": lambda *_: None} | parts
    with serve(answer) as port:
        target = Target(host="127.0.0.1", port=port, model="m")
        return run_load(target, MESSAGE, Plan(connections, **settings))


def test_every_answer_is_counted_with_its_latency():
    outcome = load(lambda _: OK)
    assert outcome.is_good
    assert outcome.statuses[200] == outcome.latencies.count > 10
    assert 0 < outcome.latencies.percentile_ns(0.5) <= outcome.latencies.longest_ns


def test_the_server_gets_the_request_as_it_was_written():
    seen = set()
    load(lambda request: seen.add(request) or OK)
    assert seen == {MESSAGE}


def test_chunked_answers_are_answers():
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    )
    assert load(lambda _: chunked).is_good


def test_answers_that_are_not_200_are_counted_and_the_first_is_quoted():
    sad = b'HTTP/1.1 503 Sad\r\nContent-Length: 17\r\n\r\n{"error":"queue"}'
    outcome = load(lambda _: sad)
    assert not outcome.is_good
    assert set(outcome.statuses) == {503}
    assert outcome.reason == '{"error":"queue"}'


def test_a_server_that_closes_after_each_answer_is_connected_to_again():
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    outcome = load(lambda _: closing, duration_s=0.5)
    assert outcome.is_good
    assert outcome.statuses[200] > 2


def test_a_connection_that_breaks_before_its_answer_is_counted():
    outcome = load(lambda _: None)
    assert outcome.broken > 0
    assert not outcome.is_good
    assert outcome.reason == "the server closed the connection"


def test_what_is_no_http_is_quoted():
    outcome = load(lambda _: b"SSH-2.0-OpenSSH_9.2\r\n")
    assert not outcome.is_good
    assert "SSH-2.0" in outcome.reason


def test_a_request_that_nobody_answers_is_cut_off():
    outcome = load(lambda _: b"", answer_s=0.1, duration_s=0.8)
    assert outcome.broken > 0
    assert outcome.reason == "no answer in time"


def test_a_server_that_is_not_there_is_said_to_take_no_connection():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    target = Target(host="127.0.0.1", port=port, model="m")
    with pytest.raises(BenchError, match=f"127.0.0.1:{port} takes no connection"):
        run_load(target, MESSAGE, Plan(1, 0.1, 0.1, lambda *_: None))
