"""One real gateway, raw sockets: limits, smuggling, pipelining, slow clients."""

import json
import os
import socket
import threading
import time

import pytest

from tests.edge_runtime.gateways import Gateway, infer_document, install_tiny
from tests.models import tiny_answer

BODY_MAX_BYTES = 200_000
PATH = "/v2/models/tiny/infer"
ROW = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    state_dir = tmp_path_factory.mktemp("hot") / "state"
    install_tiny(state_dir, "a", 1, is_active=True)
    gateway = Gateway(
        state_dir,
        PACKHORSE_BODY_MAX_BYTES=str(BODY_MAX_BYTES),
        PACKHORSE_HEAD_S="0.6",
        PACKHORSE_BODY_S="0.6",
        PACKHORSE_IDLE_S="1.5",
    )
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0
    assert "request_failed" not in gateway.log.read_text()


def post(body, *headers, path=PATH, length=None):
    lines = [f"POST {path} HTTP/1.1", "Host: gateway"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def infer_body(rows=(ROW,)):
    return json.dumps(infer_document([list(row) for row in rows])).encode()


def read_reply(file):
    """Read one reply; return (status, headers, body)."""
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, file.read(int(headers.get("content-length", 0)))


def exchange(gateway, wire):
    """Send bytes; return the first reply, and whether the server then closed."""
    with gateway.connect() as connection:
        connection.sendall(wire)
        file = connection.makefile("rb")
        status, headers, body = read_reply(file)
        closes = headers.get("connection") == "close"
        if closes:
            assert file.read() == b""
        return status, body, closes


def test_a_pipelined_burst_is_answered_in_order(gateway):
    rows = [[float(i), 0.0, 0.0, 0.0] for i in range(300)]
    wire = b"".join(
        post(body, length=len(body)) for body in (infer_body([row]) for row in rows)
    )
    with gateway.connect() as connection:
        connection.sendall(wire)
        file = connection.makefile("rb")
        replies = [json.loads(read_reply(file)[2]) for _ in rows]
    got = [reply["outputs"][0]["data"] for reply in replies]
    assert got == [pytest.approx(list(tiny_answer([r])[0]), rel=1e-5) for r in rows]


def test_requests_for_flask_and_for_the_hot_path_keep_their_order(gateway):
    body = infer_body()
    infer, page = post(body, length=len(body)), b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"
    with gateway.connect() as connection:
        connection.sendall((page + infer) * 20)
        file = connection.makefile("rb")
        kinds = [b"extensions" in read_reply(file)[2] for _ in range(40)]
    assert kinds == [True, False] * 20


def test_a_request_in_single_bytes_is_answered(gateway):
    body = infer_body()
    with gateway.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(body, length=len(body)):
            connection.send(bytes([byte]))
        assert read_reply(connection.makefile("rb"))[0] == 200


def test_a_chunked_request_is_answered_and_the_next_one_after_it(gateway):
    body = infer_body()
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[i : i + 1]) for i in range(len(body)))
    wire = post(chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked")
    with gateway.connect() as connection:
        connection.sendall(wire + wire)
        file = connection.makefile("rb")
        assert [read_reply(file)[0] for _ in range(2)] == [200, 200]


def test_a_large_body_is_received_whole(gateway):
    rows = [ROW] * 5000
    body = infer_body(rows)
    assert 100_000 < len(body) < BODY_MAX_BYTES
    status, reply, _ = exchange(gateway, post(body, length=len(body)))
    assert status == 200
    assert json.loads(reply)["outputs"][0]["shape"] == [5000, 3]


@pytest.mark.parametrize("piece", [1000, 32_767, 10**6])
def test_large_bodies_one_behind_the_other_are_told_apart(gateway, piece):
    bodies = [infer_body([[float(i), 0.0, 0.0, 0.0]] * 3000) for i in range(8)]
    wire = b"".join(post(body, length=len(body)) for body in bodies)

    def send(connection):
        for start in range(0, len(wire), piece):
            connection.sendall(wire[start : start + piece])

    with gateway.connect() as connection:
        sender = threading.Thread(target=send, args=[connection])
        sender.start()
        file = connection.makefile("rb")
        replies = [json.loads(read_reply(file)[2]) for _ in bodies]
        sender.join()
    for i, reply in enumerate(replies):
        expected = list(tiny_answer([[float(i), 0.0, 0.0, 0.0]])[0])
        assert reply["outputs"][0]["data"][-3:] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("path", [PATH, "/", "/nowhere"])
def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(gateway, path):
    wire = post(b"", path=path, length=BODY_MAX_BYTES + 1)
    status, body, closes = exchange(gateway, wire)
    assert (status, closes) == (413, True)
    assert str(BODY_MAX_BYTES) in json.loads(body)["error"]


def test_a_client_that_sends_a_too_long_body_all_the_same_sees_the_answer(gateway):
    wire = post(b"x" * BODY_MAX_BYTES * 5, length=BODY_MAX_BYTES * 5)
    assert exchange(gateway, wire)[0] == 413


def test_a_chunked_body_is_refused_where_it_grows_too_long(gateway):
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    status, _, closes = exchange(gateway, post(chunk * 4, "Transfer-Encoding: chunked"))
    assert (status, closes) == (413, True)


def test_a_head_that_is_too_long_is_refused(gateway):
    wire = post(b"", "A: " + "a" * 17_000, length=0)
    status, _, closes = exchange(gateway, wire)
    assert (status, closes) == (431, True)


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Content-Length: 5"),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("A: b\nContent-Length: 5",),
    ],
)
def test_a_request_that_two_servers_would_read_differently_is_refused(gateway, headers):
    smuggled = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    status, _, closes = exchange(gateway, post(b"0\r\n\r\n" + smuggled, *headers))
    assert (status, closes) == (400, True)


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(gateway):
    body = infer_body()
    with gateway.connect() as connection:
        connection.sendall(post(b"", "Expect: 100-continue", length=len(body)))
        file = connection.makefile("rb")
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert file.readline() == b"\r\n"
        connection.sendall(body)
        assert read_reply(file)[0] == 200


def test_a_slow_head_and_a_slow_body_are_cut(gateway):
    for wire in (b"GET / HT", post(b"12345", length=10)):
        begun_s = time.monotonic()
        status, _, closes = exchange(gateway, wire)
        assert (status, closes) == (408, True)
        assert time.monotonic() - begun_s < 5.0


def test_an_idle_connection_is_closed_without_a_word(gateway):
    with gateway.connect() as connection:
        assert connection.recv(100) == b""


def test_a_client_that_has_sent_all_it_will_send_is_still_answered(gateway):
    with gateway.connect() as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert read_reply(connection.makefile("rb"))[0] == 200


def test_half_a_request_leaves_nothing_behind(gateway):
    with gateway.connect() as connection:
        connection.sendall(post(b"123", length=10))
    assert gateway.infer([ROW])[0] == 200


def test_a_client_that_never_reads_does_not_stop_the_others(gateway):
    body = infer_body([ROW] * 2000)
    with gateway.connect() as connection:
        connection.settimeout(0)
        sent = 0
        wire = post(body, length=len(body)) * 200
        while sent < len(wire):
            try:
                sent += connection.send(wire[sent:])
            except BlockingIOError:
                break
        assert gateway.infer([ROW])[0] == 200


def test_head_is_answered_without_a_body(gateway):
    with gateway.connect() as connection:
        connection.sendall(
            b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        file = connection.makefile("rb")
        assert file.readline().startswith(b"HTTP/1.1 200")
        while file.readline() != b"\r\n":
            pass
        assert read_reply(file)[0] == 200


def test_random_bytes_never_make_it_fall_over(gateway):
    for _ in range(40):
        with gateway.connect() as connection:
            connection.sendall(os.urandom(200) + b"\r\n\r\n")
            reply = connection.recv(100)
            assert reply[:10] in {b"HTTP/1.1 4", b"HTTP/1.1 5"}
    assert gateway.infer([ROW])[0] == 200
