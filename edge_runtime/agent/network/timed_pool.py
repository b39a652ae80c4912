"""Connections whose answers have one deadline, from the status line to the end.

`http.client` waits anew for every byte: a server that sends one now and then
would hold its client for ever, in a header, in a chunk's size line or in a row of
`100 Continue`. Here each wait is cut to what is left of the time, and every byte
is counted: a gateway may pay for each.
"""

import io
import socket
import ssl
import time
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection


@dataclass(slots=True)
class Traffic:
    """What went over the network: heads and bodies, without TLS and TCP.

    Attributes:
        requests: Requests begun, answered or not.
    """

    requests: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


_until_s: ContextVar[float] = ContextVar("until_s")
_traffic: ContextVar[Traffic] = ContextVar("traffic")


def begin_wait(most_s: float) -> None:
    """Let this thread wait no longer than `most_s` from now on for an answer."""
    _until_s.set(time.monotonic() + most_s)


def begin_request(most_s: float, traffic: Traffic) -> None:
    """Count into `traffic` what this thread sends and receives from now on."""
    traffic.requests += 1
    _traffic.set(traffic)
    begin_wait(most_s)


def timed_pool(
    *, connect_s: float, read_s: float, tls: ssl.SSLContext | None = None
) -> urllib3.PoolManager:
    """Return a pool without retries whose connections keep `begin_wait`'s deadline.

    Args:
        connect_s: Longest wait for a connection.
        read_s: Longest silence within an answer.
        tls: Says which servers are trusted; the machine's authorities without one.
    """
    pool = urllib3.PoolManager(
        num_pools=8,
        retries=False,
        timeout=urllib3.Timeout(connect=connect_s, read=read_s),
        ssl_context=tls,
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
        received = self._stream.readinto(buffer)
        _traffic.get().received_bytes += received or 0
        return received

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

    def send(self, data: Any) -> None:  # noqa: ANN401 - as http.client has it
        super().send(data)
        _traffic.get().sent_bytes += len(data)


class _Tls(HTTPSConnection):
    response_class = _TimedResponse

    def send(self, data: Any) -> None:  # noqa: ANN401 - as http.client has it
        super().send(data)
        _traffic.get().sent_bytes += len(data)


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Tls
