"""Answers of servers, of which never more is read than may be there."""

import time

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

_CHUNK_BYTES = 65_536


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
