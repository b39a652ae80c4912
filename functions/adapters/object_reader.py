"""Objects of one bucket, read inside requests: no SDK, no thread, a deadline.

Source: Cloud Storage, XML API, "GET Object"; RFC 9110, 13.1.2 "If-None-Match"
"""

import asyncio
import re
from typing import NamedTuple

from functions.adapters.bearer_token import BearerToken
from functions.adapters.upstream.client import Answer, Headers, Upstream
from functions.adapters.upstream.origin import parse_origin
from functions.errors import (
    LateAnswerError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from packhorse.errors import LimitExceededError

_NAME = "Cloud Storage"
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,200}"')
_OK, _NOT_MODIFIED, _UNAUTHORISED, _NOT_FOUND = 200, 304, 401, 404
_LATER = frozenset({408, 429})
_SERVER_ERROR = 500


class Polled(NamedTuple):
    """An object that may change, as it was last.

    Attributes:
        etag: The server's name for these bytes; empty when it gave none.
    """

    body: bytes
    etag: str = ""


class ObjectReader:
    """Reads one bucket."""

    def __init__(
        self, upstream: Upstream, token: BearerToken | None, *, url: str, bucket: str
    ) -> None:
        """Read `bucket` at `url`, with a token where not everybody may."""
        self._upstream = upstream
        self._token = token
        self._origin = parse_origin(url)
        self._bucket = bucket

    async def read(
        self, name: str, *, limit_bytes: int, deadline: float
    ) -> bytes | None:
        """Return an object's content; None where there is none.

        Args:
            name: Needs no quoting: letters, digits and `/._-`.
            limit_bytes: It may be no longer.
            deadline: By the loop's clock.

        Raises:
            LimitExceededError: It is longer than `limit_bytes`.
            UpstreamRefusedError: We may not read it.
            UpstreamUnavailableError: Not to be had now.
            LateAnswerError: Not in time.
        """
        answer = await self._get(name, deadline)
        return _content(answer, name, limit_bytes)

    async def poll(
        self, name: str, known: Polled, *, limit_bytes: int, deadline: float
    ) -> Polled | None:
        """Return an object that may have changed; None where there is none.

        Args:
            name: As `read` takes it.
            known: What it was last. It comes back itself where that is so still,
                also from a server that knows no conditions.
            limit_bytes: As for `read`, and so is what is raised.
            deadline: By the loop's clock.
        """
        condition = [(b"If-None-Match", known.etag.encode())] if known.etag else []
        answer = await self._get(name, deadline, condition)
        if condition and answer.status == _NOT_MODIFIED:
            return known
        body = _content(answer, name, limit_bytes)
        if body is None:
            return None
        etag = answer.headers.get("etag", "")
        return Polled(body, etag if _ETAG.fullmatch(etag) else "")

    async def _get(self, name: str, deadline: float, headers: Headers = ()) -> Answer:
        sent = list(headers)
        token = await self._token_until(deadline)
        if token:
            sent.append((b"Authorization", token))
        path = f"/{self._bucket}/{name}"
        answer = await self._upstream.request(
            "GET", self._origin, path, sent, deadline=deadline
        )
        if self._token is not None and answer.status == _UNAUTHORISED:
            self._token.forget(token)
        return answer

    async def _token_until(self, deadline: float) -> bytes:
        if self._token is None:
            return b""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._token.value()
        except TimeoutError as error:
            raise LateAnswerError(f"no credential for {_NAME} in time") from error


def _content(answer: Answer, name: str, limit_bytes: int) -> bytes | None:
    if answer.status == _NOT_FOUND:
        return None
    if answer.status != _OK:
        is_later = answer.status in _LATER or answer.status >= _SERVER_ERROR
        kind = UpstreamUnavailableError if is_later else UpstreamRefusedError
        raise kind(f"{_NAME} answered {answer.status}")
    if len(answer.body) > limit_bytes:
        raise LimitExceededError(f"{name} may be {limit_bytes} bytes long")
    return answer.body
