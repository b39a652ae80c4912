"""Take connections from a socket on which several processes listen.

The loop's own server takes all that wait at once: of a burst of connections the
first process to wake would get nearly every one, and keep them for as long as
their clients stay. Here a process takes one at a time, and while it has more of
them than another it leaves the other a moment to come first.
"""

import asyncio
import socket
from collections.abc import Callable

from edge_runtime.load import Load
from edge_runtime.log import log

_COURTESY_S = 0.002
"""Forty times what a process takes to wake up; who is busy longer comes later."""

_PAUSE_S = 1.0
"""Time without new connections where this process has no descriptor left."""


class FairAcceptor:
    """Accepts one connection at each turn of the event loop."""

    def __init__(
        self,
        listener: socket.socket,
        take: Callable[[socket.socket], None],
        load: Load,
    ) -> None:
        """Begin to accept.

        Args:
            listener: Is closed when this is; give a duplicate.
            take: Takes each connection.
            load: Says whether another process has fewer of them.
        """
        self._listener = listener
        self._take = take
        self._load = load
        self._has_waited = False
        self._is_open = True
        self._loop = asyncio.get_running_loop()
        listener.settimeout(0)
        self._resume()

    def close(self) -> None:
        """Accept no more."""
        self._is_open = False
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _resume(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listener, self._accept)

    def _wait(self, time_s: float) -> None:
        self._loop.remove_reader(self._listener)
        self._loop.call_later(time_s, self._resume)

    def _accept(self) -> None:
        """Take one connection, if it is this process's turn."""
        if self._load.is_most() and not self._has_waited:
            self._has_waited = True
            self._wait(_COURTESY_S)
            return
        self._has_waited = False
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was there before, or the client has gone
        except OSError as error:
            log("accept_failed", reason=error.strerror)
            self._wait(_PAUSE_S)
            return
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._take(connection)
