"""One process's HTTP server: its connections, its clock, its drain.

What the requests on those connections are answered is `dispatch.py`'s business.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from functools import partial

from edge_runtime.dispatch import Dispatch
from edge_runtime.hot_path import LINGER_S, Connection
from edge_runtime.http.dates import http_date
from edge_runtime.http.fair_accept import FairAcceptor
from edge_runtime.http.head import HeadMemory
from edge_runtime.http.replies import mistake
from edge_runtime.http.sized_body import Allowance
from edge_runtime.load import Load
from edge_runtime.settings.serve_settings import Limits

BACKLOG = 1024
"""Connections that the kernel keeps waiting, as during a switch."""

_TICK_S = 0.25


class Server:
    """Accepts on an inherited socket, and has every request answered."""

    def __init__(self, dispatch: Dispatch, limits: Limits, load: Load) -> None:
        """Make ready; nothing is accepted before `accept`.

        Args:
            dispatch: Answers the requests.
            limits: What is taken from clients.
            load: Where other processes see how many connections this one has.
        """
        self._load = load
        self.limits = limits
        self.heads = HeadMemory()
        self.allowance = Allowance(limits.bodies_max_bytes)
        self.check = dispatch.check
        self.take = dispatch.take
        self.now_s = time.monotonic()
        self.date = _date_line()
        self.is_draining = False
        self._connections: set[Connection] = set()
        self._arriving: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | FairAcceptor | None = None

    async def accept(
        self, listener: socket.socket, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Take new connections from `listener`, which stays open when this ends.

        Args:
            listener: Where clients connect, perhaps to other processes too.
            tls: None for connections without TLS.
        """
        self.is_draining = False
        if self._listening is not None:
            return
        listener = listener.dup()
        if self._load.is_shared or tls is not None:
            take = partial(self._take_connection, tls)
            self._listening = FairAcceptor(listener, take, self._load)
        else:
            self._listening = await asyncio.get_running_loop().create_server(
                partial(Connection, self), sock=listener, backlog=BACKLOG
            )

    def _take_connection(
        self, tls: ssl.SSLContext | None, connection: socket.socket
    ) -> None:
        """Make a connection of a socket; it counts as one from now on.

        Who has no handshake yet cannot be told that there are too many.
        """
        if len(self._arriving) >= self.limits.connections_max:
            connection.close()
            return
        task = asyncio.create_task(self._make_connection(tls, connection))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _make_connection(
        self, tls: ssl.SSLContext | None, connection: socket.socket
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(Connection, self),
                connection,
                ssl=tls,
                ssl_handshake_timeout=self.limits.head_s if tls else None,
                ssl_shutdown_timeout=LINGER_S if tls else None,
            )
        except OSError:
            connection.close()  # no handshake, or the client has gone

    def stop_accepting(self) -> None:
        """Leave new connections to others; answer `Connection: close` from now on."""
        self.is_draining = True
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def drain(self, *, idle_s: float, limit_s: float) -> bool:
        """Stop accepting, finish what is running, close what is idle.

        Args:
            idle_s: Time that connections without a request stay open, so that a
                client that is just sending one is still answered.
            limit_s: Time after which what is left is cut off.

        Returns:
            Whether every connection had ended by itself.
        """
        self.stop_accepting()
        begun_s = time.monotonic()
        while (self._connections or self._arriving) and self.is_draining:
            open_s = time.monotonic() - begun_s
            if open_s >= limit_s:
                self._cut_off()
                return False
            if open_s >= idle_s:
                self._close_idle()
            await asyncio.sleep(_TICK_S / 10)
        return True

    async def keep_time(self) -> None:
        """Keep the clock and the deadlines; runs as long as the server does."""
        while True:
            self.now_s = time.monotonic()
            self.date = _date_line()
            for connection in [
                c for c in self._connections if c.deadline_s < self.now_s
            ]:
                try:
                    connection.expire()
                except Exception as error:  # noqa: BLE001 - time goes on for others
                    mistake(error)
                    connection.abort()
            await asyncio.sleep(_TICK_S)

    # What a connection calls.

    def opened(self, connection: Connection) -> bool:
        """Count a connection in; False when there are too many."""
        self._connections.add(connection)
        self._load.tell(len(self._connections))
        return len(self._connections) <= self.limits.connections_max

    def closed(self, connection: Connection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        self._load.tell(len(self._connections))

    def _close_idle(self) -> None:
        for connection in [c for c in self._connections if c.is_idle]:
            connection.close()

    def _cut_off(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(RuntimeError):
                connection.abort()


def _date_line() -> bytes:
    """Return the Date line of answers sent now.

    Source: RFC 9110, 6.6.1
    """
    return f"Date: {http_date(time.time())}\r\n".encode()
