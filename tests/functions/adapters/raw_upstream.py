"""Servers that answer byte for byte what a test says, and loops to ask them in."""

import asyncio
import contextlib
import socket
import struct
import threading
import time

import uvloop

from functions.adapters.upstream.client import Upstream
from functions.adapters.upstream.origin import Origin

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
WAIT_S = 20
"""For what comes at once; only a failing test waits for so long."""


def ok(body=b"ok", *lines):
    """Return a whole answer."""
    head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join([*head, b"", body])


def read_head(connection):
    """Return a request's head; nothing when the client is gone."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        if not piece:
            return b""
        head += piece
    return head


def read_request(connection):
    """Return a request's head and body; nothing when the client is gone."""
    head = read_head(connection)
    lines = head.lower().split(b"\r\n")
    lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
    body = bytearray()
    while len(body) < sum(lengths):
        piece = connection.recv(1 << 20)
        if not piece:
            return b"", b""
        body += piece
    return head, bytes(body)


def reset(connection):
    """End a connection with a reset in place of an end."""
    linger = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


def wait_for_end(connection):
    """Wait until the client has ended the connection."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while connection.recv(1 << 20):
            pass


class RawUpstream:
    """Runs a script for each connection, in a thread of its own.

    A script takes the socket and the number of the connection, from 0. The socket
    is closed at its end.
    """

    def __init__(self, script, tls=None, backlog=128):
        self._script = script
        self._tls = tls
        self._threads = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port = self._socket.getsockname()[1]
        self.origin = Origin(is_tls=tls is not None, host="127.0.0.1", port=self.port)
        self.connections = 0
        self.ended = threading.Semaphore(0)
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(WAIT_S)
            thread = threading.Thread(
                target=self._serve, args=(connection, self.connections)
            )
            self.connections += 1
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection, number):
        with contextlib.suppress(OSError), connection:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._script(connection, number)
        self.ended.release()

    def refuse_more(self):
        """Take no more connections."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.refuse_more()
        self._accepting.join()
        for thread in self._threads:
            thread.join()


class Scene:
    """A loop, and what went wrong in it that nobody caught."""

    def __init__(self, new_loop):
        self._runner = asyncio.Runner(loop_factory=new_loop)
        self._complaints = []

    def run(self, play, **limits):
        """Run `play(upstream)`; the client must end with nothing held."""

        async def scene():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, said: self._complaints.append(said))
            upstream = Upstream(**limits)
            try:
                return await play(upstream)
            finally:
                await upstream.close()
                assert upstream.connections == 0

        with self._runner:
            found = self._runner.run(scene())
        assert not self._complaints, self._complaints
        return found


async def ask(upstream, origin, *, body=b"{}", within_s=WAIT_S, path="/x", headers=()):
    """Send one request that has some time from now."""
    deadline = asyncio.get_running_loop().time() + within_s
    return await upstream.request(
        "POST", origin, path, headers, body, deadline=deadline
    )


async def until(holds):
    """Let the loop and the servers go on until something holds."""
    give_up_at = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.001)
