"""Connections whose answers have one deadline, from the status line to the end.

`http.client` waits anew for every byte: a server that sends one now and then
would hold its client for ever, in a header, in a chunk's size line or in a row of
`100 Continue`. Here each wait is cut to what is left of the time.
"""

import io
import socket
import time
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

_until_s: ContextVar[float] = ContextVar("until_s")


def begin_wait(most_s: float) -> None:
    """Let this thread wait no longer than `most_s` from now on for an answer."""
    _until_s.set(time.monotonic() + most_s)


def timed_pool(*, connect_s: float, read_s: float) -> urllib3.PoolManager:
    """Return a pool without retries whose connections keep `begin_wait`'s deadline.

    Args:
        connect_s: Longest wait for a connection.
        read_s: Longest silence within an answer.
    """
    pool = urllib3.PoolManager(
        num_pools=8,
        retries=False,
        timeout=urllib3.Timeout(connect=connect_s, read=read_s),
    )
    pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
    return pool


class _TimedStream(io.RawIOBase):
    """What comes over a socket, as long as there is time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._silence_s = connection.gettimeout()
        # It keeps the descriptor open until it is closed itself.
        self._stream = cast("io.RawIOBase", connection.makefile("rb", buffering=0))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]  # wider in typeshed
        left_s = _until_s.get() - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer took too long")
        silence_s = left_s if self._silence_s is None else self._silence_s
        self._connection.settimeout(min(left_s, silence_s))
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _TimedSocket:
    """The one method of a socket that an answer needs."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedStream(self._connection))


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *, method: str | None = None) -> None:
        super().__init__(cast("socket.socket", _TimedSocket(sock)), method=method)


class _Plain(HTTPConnection):
    response_class = _TimedResponse


class _Tls(HTTPSConnection):
    response_class = _TimedResponse


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Tls
