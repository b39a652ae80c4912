"""One question to the repository: is `timestamp.json` still the one we know?

A steady poll is this one conditional request and nothing else. What a changed
timestamp means is found out by `trusted_repository.py`.

Source: docs/adr/0013-one-question-a-poll.md; RFC 9110, 13.1.2 "If-None-Match"
"""

import re
from dataclasses import dataclass

from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.trust.strict_updater import TIMESTAMP_MAX_BYTES

ETAG = r'(W/)?"[\x21\x23-\x7e]{0,200}"'
"""RFC 9110, 8.8.3, without bytes above ASCII; it is sent back as it came."""

_OK = 200
_NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True)
class Polled:
    """What lies at the repository's timestamp now.

    Attributes:
        body: Its bytes, unverified.
        etag: The server's name for them; empty when it gave none.
    """

    body: bytes
    etag: str = ""


def poll_timestamp(web: Web, url: str, known: Polled | None = None) -> Polled:
    """Ask for the timestamp, unless it is the one that is known.

    Returns:
        `known` itself when it did not change.

    Raises:
        UnavailableError: No usable answer came.
    """
    headers = {"If-None-Match": known.etag} if known and known.etag else {}
    with web.get(url, headers) as answer:
        body = b"".join(answer.chunks(TIMESTAMP_MAX_BYTES + 1, web.body_s))
    if known is not None and headers and answer.status == _NOT_MODIFIED:
        return known
    if answer.status != _OK:
        raise UnavailableError(f"the repository answered {answer.status}")
    if len(body) > TIMESTAMP_MAX_BYTES:
        raise UnavailableError(
            f"a timestamp may have {TIMESTAMP_MAX_BYTES} bytes, this one has more"
        )
    if known is not None and body == known.body:
        return known
    return Polled(body, _proper(answer.headers.get("ETag", "")))


def _proper(etag: str) -> str:
    return etag if re.fullmatch(ETAG, etag) else ""
