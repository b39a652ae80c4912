"""Servers: asked again while they are away, and never believed to end by themselves."""

import time
from collections.abc import Callable
from typing import TypeVar

import requests

from packhorse.cli.failure import CommandError

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
TIMEOUTS_S = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
"""For the connection, and for each read on it."""
BODY_TIMEOUT_S = 60.0
"""For a whole answer, which a server might send one byte at a time."""
LATER = frozenset({429, 502, 503, 504})
"""Who answers so asks us to come back."""

PAUSES_S = (0.25, 0.75)
"""Two more attempts: a server that restarts is given the time, a wrong address not."""

_CHUNK_BYTES = 65_536
T = TypeVar("T")


class AwayError(CommandError):
    """A server does not answer now; it may later."""


def persist(attempt: Callable[[], T]) -> T:
    """Return what `attempt` does; it must do no harm when it is repeated.

    A server that lets us wait has used up its time and is not asked again.
    """
    for pause_s in PAUSES_S:
        try:
            return attempt()
        except requests.Timeout:
            raise
        except (AwayError, requests.ConnectionError):
            time.sleep(pause_s)
    return attempt()


def read_body(reply: requests.Response, *, what: str, limit_bytes: int) -> bytes:
    """Read a reply that was asked for with `stream=True`, and close it.

    Raises:
        CommandError: It is longer than `limit_bytes`, or takes too long.
    """
    until = time.monotonic() + BODY_TIMEOUT_S
    body = bytearray()
    with reply:
        for chunk in reply.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > limit_bytes:
                raise CommandError(f"{what} answers with more than {limit_bytes} bytes")
            if time.monotonic() > until:
                raise CommandError(f"{what} took longer than {BODY_TIMEOUT_S:.0f} s")
    return bytes(body)
