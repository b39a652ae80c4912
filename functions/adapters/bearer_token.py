"""The token that upstream knows this function by, without a request that waits for it.

google-auth fetches tokens and blocks meanwhile, so it does that in a thread. Whether
it is time for another is decided at each use: a function has no CPU between requests,
so nothing here counts on a timer.

Of google-auth's own errors only the kind is kept: their text may hold what a token
service answered.
"""

import asyncio
import functools
import time
from collections.abc import Mapping
from datetime import UTC

import google.auth
import urllib3
from google.auth import exceptions as auth_errors
from google.auth.transport.urllib3 import Request

from functions.errors import UpstreamUnavailableError

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
REFRESH_BEFORE_S = 225.0
"""As google-auth itself: from then on the metadata server has a newer one."""
REQUEST_S = 10.0
"""For one answer of the token service; google-auth would wait for two minutes."""
PAUSE_S = 1.0
PAUSE_MAX_S = 30.0
"""A good token has more than three minutes left when the first attempt fails."""
FORGET_AGAIN_S = 1.0
"""Upstream that refuses every token must not make us fetch one for each request."""
_ENDLESS_S = 3600.0
"""A token without an end is rare, and is fetched again now and then."""
_STRANGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What google-auth lets out, besides its own errors, over a strange answer."""


class BearerToken:
    """The `Authorization` of this function's service account; of one event loop."""

    def __init__(self) -> None:
        """Find the credentials where google-auth finds them; fetch nothing yet.

        Raises:
            UpstreamUnavailableError: There are none.
        """
        pool = urllib3.PoolManager(retries=False, headers={"User-Agent": "packhorse"})
        request = Request(pool)  # type: ignore[no-untyped-call]  # google-auth's
        try:
            # Without one, google-auth may load `requests`: a tenth of a start.
            self._credentials, _ = google.auth.default([_SCOPE], request)
        except auth_errors.GoogleAuthError as error:
            raise _no_credential(type(error).__name__) from None
        self._ask = functools.partial(request, timeout=REQUEST_S)
        self._value = b""
        self._fresh_until = self._good_until = 0.0
        self._pause_s = PAUSE_S
        self._ask_again_at = self._forget_again_at = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._failure = ""

    async def value(self) -> bytes:
        """Return `Bearer ...`, at once unless no token is good.

        Raises:
            UpstreamUnavailableError: None is good, and none is to be had now.
        """
        # A token ends by the wall clock, which goes on while a function is frozen.
        if time.time() < self._fresh_until:
            return self._value
        return await self._renewed()

    def forget(self, value: bytes) -> None:
        """Use a token no more: upstream answered 401 to it."""
        now = time.time()
        if value == self._value and now >= self._forget_again_at:
            self._forget_again_at = now + FORGET_AGAIN_S
            self._fresh_until = self._good_until = self._ask_again_at = 0.0

    async def _renewed(self) -> bytes:
        now = time.time()
        if self._refreshing is None and now >= self._ask_again_at:
            self._refreshing = asyncio.create_task(self._refresh_apart())
        if now < self._good_until:
            return self._value
        if self._refreshing is not None:
            # Whoever waits may give up; the others still want the token.
            await asyncio.shield(self._refreshing)
        if time.time() >= self._good_until:
            raise _no_credential(self._failure)
        return self._value

    async def _refresh_apart(self) -> None:
        try:
            await asyncio.to_thread(self._refresh)
        finally:
            self._refreshing = None

    def _refresh(self) -> None:
        """Fetch a token, or remember what kind of failure kept it from us."""
        try:
            self._credentials.refresh(self._ask)  # type: ignore[no-untyped-call]  # google-auth's
            self._take()
        except (auth_errors.GoogleAuthError, *_STRANGE) as error:
            self._failure = type(error).__name__
            self._ask_again_at = time.time() + self._pause_s
            self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)

    def _take(self) -> None:
        headers: dict[str, str] = {}
        self._credentials.apply(headers)  # type: ignore[no-untyped-call]  # google-auth's
        value = _authorization(headers)
        expiry = self._credentials.expiry
        ends_at = (
            expiry.replace(tzinfo=UTC).timestamp()
            if expiry
            else time.time() + _ENDLESS_S
        )
        self._pause_s = PAUSE_S
        self._ask_again_at = time.time() + PAUSE_S
        self._value, self._good_until = value, ends_at
        self._fresh_until = ends_at - REFRESH_BEFORE_S


def _authorization(headers: Mapping[str, str]) -> bytes:
    """Return the header that google-auth would send.

    Raises:
        ValueError: It is none that may stand in a head.
    """
    value = headers["authorization"]
    if not (value.isascii() and value.isprintable() and value.startswith("Bearer ")):
        raise ValueError
    return value.encode("ascii")


def _no_credential(kind: str) -> UpstreamUnavailableError:
    return UpstreamUnavailableError(f"no credential for Vertex AI ({kind})")
