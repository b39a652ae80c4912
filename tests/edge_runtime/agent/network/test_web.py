"""No server, however slow or endless, holds the agent for longer than its limit."""

import socket
import threading
import time
from contextlib import suppress

import pytest

from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.web import Web

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


class Dripping:
    """A server that answers with a beginning, and then now and then a little."""

    def __init__(self, beginning, drop):
        self._beginning, self._drop = beginning, drop
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/x"

    def _serve(self):
        connection, _ = self._listener.accept()
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(self._beginning)
            while not self._is_over.wait(0.02):
                connection.sendall(self._drop)

    def stop(self):
        self._is_over.set()
        self._thread.join()
        self._listener.close()


@pytest.fixture
def drip():
    servers = []

    def start(beginning, drop):
        servers.append(Dripping(beginning, drop))
        return servers[-1].url

    yield start
    for server in servers:
        server.stop()


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"H", b"T"),
        (b"HTTP/1.1 200 OK\r\nA: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (LONG, b"x"),
        (CHUNKED + b"1;", b"x"),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"A: b\r\n"),
    ],
    ids=["status", "header", "headers", "continue", "body", "extension", "trailers"],
)
def test_an_answer_that_drips_is_given_up(drip, beginning, drop):
    begun_s = time.monotonic()
    web = Web(head_s=0.3)

    with (
        pytest.raises(UnavailableError),
        web.get(drip(beginning, drop)) as answer,
    ):
        list(answer.chunks(1_000_000, 0.3))

    assert time.monotonic() - begun_s < 5


def test_a_post_whose_answer_drips_is_given_up(drip):
    with pytest.raises(UnavailableError):
        Web(head_s=0.3).post(drip(b"HTTP/1.1 200 OK\r\nA: ", b"x"), b"{}")
