"""Ports on loopback that stay free until their server listens."""

import contextlib
import itertools
import os
import socket

_FIRST, _COUNT = 10_000, 22_000
"""Below what Linux gives to connections: `net.ipv4.ip_local_port_range`, 32768 on."""
_TURNS = itertools.count(os.getpid() * 1009)
"""Processes that look for ports at the same time begin far from each other."""


def free_port() -> int:
    """Return a port of the loopback address that nobody uses now.

    No connection will be given it before its server starts, or while that is
    down, and this process does not hand it out again for long.

    Raises:
        OSError: All are taken.
    """
    for turn in itertools.islice(_TURNS, _COUNT):
        port = _FIRST + turn % _COUNT
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {_FIRST} to {_FIRST + _COUNT - 1} is free")
