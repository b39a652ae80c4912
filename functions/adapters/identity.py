"""Verify who calls a function, by the OIDC token that came with the call.

Google's metadata server, its Pub/Sub push and its Workflows sign tokens alike:
RS256, with a key of the issuer's published set. Cloud Run replaces the
signature of a token that its own IAM has checked, so functions that verify for
themselves are deployed without that check (docs/adr/, "who checks the caller").

Source: RFC 7519; RFC 7517; Google, "Verify the Google ID token".
"""

import base64
import binascii
import threading
import time
from collections.abc import Callable, Mapping

import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from functions.adapters.calls import refusal, upstream
from functions.errors import (
    NotAllowedError,
    UnauthorisedError,
    UpstreamError,
    UpstreamUnavailableError,
)
from functions.setting_values import CallerSettings
from packhorse.errors import MalformedError
from packhorse.strict_json import decode_json

TOKEN_MAX_BYTES = 8_192
"""Google's own tokens take about 1 KB; headers above 8 KB are refused upstream."""

SKEW_S = 60.0
"""How far the issuer's clock and ours may differ."""

_KEYS_MAX_BYTES = 65_536
_KEYS_FRESH_S = 3_600.0
"""Google rotates its keys over days and publishes the next one early."""
_REFETCH_S = 30.0
"""Unknown key ids may cost the issuer one request per this time, no more."""
_RETRY_S = 1.0
"""After a failed fetch; meanwhile keys already known stay good."""
_TIMEOUT_S = 5.0
_MIN_KEY_BITS = 2_048


class CallerCheck:
    """Decides whether a bearer token lets its caller in."""

    def __init__(
        self, settings: CallerSettings, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Prepare the check; the issuer's keys are fetched when first needed."""
        self._settings = settings
        self._clock = clock
        self._keys = KeySet(settings.certs_url)

    def check(self, authorization: str) -> str:
        """Return the verified email of whoever sent this `Authorization`.

        Raises:
            UnauthorisedError: No token, or one that proves nothing here.
            NotAllowedError: The token is good and its email is not allowed.
            UpstreamUnavailableError: The issuer's keys could not be had.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorisedError("expected `Authorization: Bearer` with an ID token")
        claims = self._verified_claims(token.strip())
        email = claims.get("email")
        if claims.get("email_verified") is not True or not isinstance(email, str):
            raise UnauthorisedError("the token carries no verified email")
        if email not in self._settings.allowed_callers:
            raise NotAllowedError(f"{email[:100]} may not call this function")
        return email

    def _verified_claims(self, token: str) -> Mapping[str, object]:
        signed, header, claims, signature = _split(token)
        key = self._keys.find(str(header.get("kid", "")))
        # The algorithm is ours, not the token's: `none` and HS256 end here.
        if header.get("alg") != "RS256" or key is None:
            raise UnauthorisedError("the token is not signed by a key of the issuer")
        try:
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as error:
            raise UnauthorisedError("the token's signature is wrong") from error
        self._check_claims(claims)
        return claims

    def _check_claims(self, claims: Mapping[str, object]) -> None:
        now = self._clock()
        if claims.get("iss") != self._settings.issuer:
            raise UnauthorisedError("the token is of another issuer")
        if claims.get("aud") != self._settings.audience:
            raise UnauthorisedError("the token is meant for another audience")
        if not _instant(claims, "exp") > now - SKEW_S:
            raise UnauthorisedError("the token has expired")
        if not _instant(claims, "iat") < now + SKEW_S:
            raise UnauthorisedError("the token is of the future")


class KeySet:
    """The issuer's public keys, fetched again when they are old or too few."""

    def __init__(
        self, url: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember where the keys are."""
        self._url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, rsa.RSAPublicKey] = {}
        self._stale_at = self._ask_again_at = float("-inf")

    def find(self, key_id: str) -> rsa.RSAPublicKey | None:
        """Return the key of that id, or None when the issuer has none such.

        Raises:
            UpstreamUnavailableError: It may have, but could not be asked.
        """
        with self._lock:
            now = self._clock()
            is_known = key_id in self._keys
            is_due = now >= self._stale_at if is_known else True
            if is_due and now >= self._ask_again_at:
                self._refresh(now, is_needed=not is_known)
            return self._keys.get(key_id)

    def _refresh(self, now: float, *, is_needed: bool) -> None:
        self._ask_again_at = now + _RETRY_S
        try:
            self._keys = _fetch_keys(self._url)
        except UpstreamError:
            if is_needed:
                raise
            return
        self._stale_at = now + _KEYS_FRESH_S
        self._ask_again_at = now + _REFETCH_S


def _fetch_keys(url: str) -> Mapping[str, rsa.RSAPublicKey]:
    with (
        upstream("the token issuer"),
        requests.get(
            url, timeout=_TIMEOUT_S, stream=True, allow_redirects=False
        ) as answer,
    ):
        if answer.status_code != requests.codes.ok:
            raise refusal("the token issuer", answer.status_code)
        body = answer.raw.read(_KEYS_MAX_BYTES + 1, decode_content=True)
    try:
        return _decode_keys(body)
    except MalformedError as error:
        # Not the caller's fault, so never a reason to refuse its message.
        raise UpstreamUnavailableError(
            "the token issuer's keys are unusable"
        ) from error


def _decode_keys(body: bytes) -> Mapping[str, rsa.RSAPublicKey]:
    document = decode_json(body, what="key set", limit_bytes=_KEYS_MAX_BYTES)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise MalformedError("the issuer's key set has no list `keys`")
    return {
        str(entry["kid"]): _public_key(entry)
        for entry in keys
        if isinstance(entry, dict) and entry.get("kty") == "RSA" and "kid" in entry
    }


def _public_key(entry: Mapping[str, object]) -> rsa.RSAPublicKey:
    modulus = int.from_bytes(_unpadded(str(entry.get("n", ""))))
    exponent = int.from_bytes(_unpadded(str(entry.get("e", ""))))
    try:
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise MalformedError("the issuer's key set holds no usable RSA key") from error
    if key.key_size < _MIN_KEY_BITS:
        raise MalformedError(f"an issuer's key must have {_MIN_KEY_BITS} bits or more")
    return key


def _split(
    token: str,
) -> tuple[bytes, Mapping[str, object], Mapping[str, object], bytes]:
    parts = token.split(".")
    if len(token) > TOKEN_MAX_BYTES or len(parts) != 3:  # noqa: PLR2004 - RFC 7519
        raise UnauthorisedError("the token is no signed JWT")
    try:
        header, claims = (_part(part) for part in parts[:2])
        signature = _unpadded(parts[2])
    except MalformedError as error:
        raise UnauthorisedError("the token is no signed JWT") from error
    return f"{parts[0]}.{parts[1]}".encode(), header, claims, signature


def _part(text: str) -> Mapping[str, object]:
    value = decode_json(
        _unpadded(text), what="part of the token", limit_bytes=TOKEN_MAX_BYTES
    )
    if not isinstance(value, dict):
        raise MalformedError("a part of the token must be an object")
    return value


def _unpadded(text: str) -> bytes:
    try:
        return base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4),
            altchars=b"-_",
            validate=True,
        )
    except (binascii.Error, ValueError) as error:
        raise MalformedError("expected unpadded base64url") from error


def _instant(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnauthorisedError(f"the token has no time `{name}`")
    return float(value)
