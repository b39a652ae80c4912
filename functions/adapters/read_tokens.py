"""Tokens that read one model's part of the bucket, for a short while.

Google's Security Token Service exchanges this function's own access token for
one within a Credential Access Boundary: it reads objects whose names begin so,
lists nothing, and ends with the token that it was made of, within the hour. It
depends on the model alone, so the devices of one model share it.

Source: docs.cloud.google.com/iam/docs/create-downscoped-short-lived-credentials;
RFC 8693
"""

import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import google.auth
from google.auth import downscoped
from google.auth.transport.requests import Request
from google.oauth2 import sts

from functions.adapters.calls import upstream
from functions.errors import UpstreamRefusedError
from functions.release.read_scope import readable_prefixes

TIMEOUT_S = 10.0
"""For connecting, and for each read; the exchange takes some 100 ms."""

LEFT_MIN_S = 600.0
"""A kept token with less than this left is made anew. The metadata server itself
gives out tokens with only some minutes left."""

KEPT_MAX = 256
"""Models; a token has about 1 kB."""

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type
_NAME = "Google's token service"
_ROLE = "inRole:roles/storage.objectViewer"


@dataclass(frozen=True, slots=True)
class ReadToken:
    """An access token, and for how long it is good, in seconds."""

    access_token: str
    expires_in_s: float


class ReadTokens:
    """Makes read tokens for one bucket."""

    def __init__(
        self,
        bucket: str,
        *,
        sts_url: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Exchange at `sts_url` what google-auth finds."""
        self._bucket = bucket
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, float]] = {}
        self._sts = sts.Client(f"{sts_url}/v1/token")  # type: ignore[no-untyped-call]  # google-auth's
        with upstream(_NAME):
            self._source, _ = google.auth.default(scopes=[_SCOPE])

    def issue(self, model: str) -> ReadToken:
        """Return a token for what concerns `model`.

        Raises:
            UpstreamUnavailableError: None can be had now.
        """
        # One exchange at a time: who waits finds the token that the first one got.
        with self._lock:
            token, ends_at_s = self._kept.get(model, ("", float("-inf")))
            if ends_at_s - self._clock() < LEFT_MIN_S:
                token, ends_at_s = self._exchange(model)
                if len(self._kept) >= KEPT_MAX:
                    self._kept.clear()
                self._kept[model] = (token, ends_at_s)
            return ReadToken(token, ends_at_s - self._clock())

    def _exchange(self, model: str) -> tuple[str, float]:
        """Return a new token, and when it ends by our clock."""
        transport = functools.partial(Request(), timeout=TIMEOUT_S)
        now_s = self._clock()
        with upstream(_NAME):
            self._source.refresh(transport)  # type: ignore[no-untyped-call]  # google-auth's
            reply = self._sts.exchange_token(  # type: ignore[no-untyped-call]  # google-auth's
                request=transport,
                grant_type=_GRANT,
                subject_token=self._source.token,
                subject_token_type=_ACCESS_TOKEN,
                requested_token_type=_ACCESS_TOKEN,
                additional_options=_boundary(self._bucket, model).to_json(),  # type: ignore[no-untyped-call]  # google-auth's
            )
        token = reply.get("access_token")
        if not isinstance(token, str) or not token:
            raise UpstreamRefusedError(f"{_NAME} answered without a token")
        # Without `expires_in` it ends with what it was made of.
        left_s = reply.get("expires_in") or self._source_left_s()
        return token, now_s + float(left_s)

    def _source_left_s(self) -> float:
        expiry: datetime | None = self._source.expiry
        if expiry is None:
            raise UpstreamRefusedError(f"{_NAME} did not say when its token ends")
        # google-auth's instants are UTC without saying so.
        return (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def _boundary(bucket: str, model: str) -> downscoped.CredentialAccessBoundary:
    """Return what a token for `model` may do: read objects by these prefixes."""
    resource = f"projects/_/buckets/{bucket}"
    rules = [
        downscoped.AccessBoundaryRule(  # type: ignore[no-untyped-call]  # google-auth's
            available_resource=f"//storage.googleapis.com/{resource}",
            available_permissions=[_ROLE],
            availability_condition=downscoped.AvailabilityCondition(  # type: ignore[no-untyped-call]  # google-auth's
                f"resource.name.startsWith('{resource}/objects/{prefix}')"
            ),
        )
        for prefix in readable_prefixes(model)
    ]
    return downscoped.CredentialAccessBoundary(rules)  # type: ignore[no-untyped-call]  # google-auth's
