"""The ID tokens that push requests carry, had from the identity stand-in."""

import base64
import json
import threading
import time
from urllib.parse import urlencode

import urllib3

from local_cloud.pubsub.errors import TokenUnavailableError

TOKEN_TIMEOUT_S = 5.0
TOKEN_MAX_BYTES = 16_384
RENEW_BEFORE_S = 300.0
"""A token is used until this long before its end, as Google's own clients do."""


class TokenSource:
    """Tokens for service accounts, each kept until shortly before its end."""

    def __init__(self, url: str) -> None:
        """Ask at `url`, which takes `audience` and `email` and answers a token."""
        self._url = url
        self._pool = urllib3.PoolManager(retries=False, timeout=TOKEN_TIMEOUT_S)
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}

    def token(self, *, audience: str, email: str) -> str:
        """Return a token with this audience for this account.

        Raises:
            TokenUnavailableError: The identity stand-in is away, or gave none.
        """
        with self._lock:
            token, expires_at = self._kept.get((audience, email), ("", 0.0))
            if expires_at - RENEW_BEFORE_S < time.time():
                token = self._fetch(audience, email)
                self._kept[audience, email] = (token, _expires_at(token))
            return token

    def _fetch(self, audience: str, email: str) -> str:
        query = urlencode({"audience": audience, "email": email})
        try:
            reply = self._pool.request(
                "GET", f"{self._url}?{query}", preload_content=False
            )
            body = reply.read(TOKEN_MAX_BYTES)
            reply.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise TokenUnavailableError(f"no answer from {self._url}") from error
        if reply.status != 200:  # noqa: PLR2004 - HTTP's word for yes
            raise TokenUnavailableError(
                f"{self._url} answered {reply.status}, expected 200"
            )
        return body.decode("ascii", "replace").strip()


def _expires_at(token: str) -> float:
    """Read the `exp` claim; the receiver verifies the rest."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(
            base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        )
        return float(claims["exp"])
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise TokenUnavailableError(
            "the identity stand-in gave what is no token"
        ) from error
