"""A bucket that asks for tokens: `python -m local_cloud.private_bucket --port P ...`.

It stands before the storage server, which lets anybody read, and keeps what Google
keeps for a private bucket with uniform access:

- `POST /v1/token` is the Security Token Service: it exchanges an account's access
  token for one within a Credential Access Boundary, for RFC 8693's grant only.
- `GET /BUCKET/OBJECT` wants such a token. It is 401 for one that is none or has
  ended, and 403 for what the boundary leaves out, also for objects that are not
  there: who may not list is not told.

A token holds its own boundary and end, signed with a key in the data folder, so it
outlives this process. Of conditions only `resource.name.startsWith('...')` is
understood; a boundary with any other is refused.

Source: docs.cloud.google.com/iam/docs/downscoping-short-lived-credentials and
.../create-downscoped-short-lived-credentials; RFC 8693; RFC 6750
"""

import argparse
import base64
import hashlib
import hmac
import json
import re
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

import requests

from local_cloud.google_http import ApiError, Reply, Request, json_reply, start
from local_cloud.stopping import take_stop_signals

UPSTREAM_TIMEOUT_S = 30.0
RULES_MAX = 10
"""As Google has it."""

_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type
_SUBJECT = re.compile(r"local\.([^\s]{1,250})\.[A-Za-z0-9_-]{20,}")
"""What the identity stand-in gives out: it says whose it is."""
_RESOURCE = re.compile(r"//storage\.googleapis\.com/(projects/_/buckets/[a-z0-9._-]+)")
_CONDITION = re.compile(r"resource\.name\.startsWith\('([^'\\]*)'\)")
_OBJECT = re.compile(r"/([a-z0-9._-]+)/(.+)", re.DOTALL)
_READING_ROLES = frozenset(
    {"inRole:roles/storage.objectViewer", "inRole:roles/storage.legacyObjectReader"}
)
_PASSED_ON = ("range", "if-none-match", "if-modified-since", "accept-encoding")
_PASSED_BACK = frozenset(
    {
        "content-type",
        "content-range",
        "cache-control",
        "etag",
        "last-modified",
        "accept-ranges",
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the bucket is, and who may read it.

    Attributes:
        storage_url: The storage server that holds the objects.
        readers: Accounts whose tokens may be exchanged for ones that read.
        token_s: How long a token is good, in seconds.
    """

    storage_url: str
    readers: frozenset[str]
    token_s: int


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: whose it is, what it reads, until when.

    Attributes:
        rules: Pairs of a bucket's resource name and the prefix of its objects'.
        ends_at_s: In seconds since 1970.
    """

    account: str
    rules: tuple[tuple[str, str], ...]
    ends_at_s: float

    def admits(self, resource: str, name: str) -> bool:
        """Say whether the object `name` of a bucket lies within the boundary."""
        full = f"{resource}/objects/{name}"
        return any(
            resource == bucket and full.startswith(prefix)
            for bucket, prefix in self.rules
        )


class ExchangeError(Exception):
    """The token service says no, in RFC 6749's words."""

    def __init__(self, error: str, description: str) -> None:
        """Hold both."""
        super().__init__(description)
        self.error = error


class PrivateBucket:
    """The token service and the bucket, over one HTTP handler."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        """Sign tokens with `key`."""
        self._settings = settings
        self._key = key
        self._session = requests.Session()

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        if (request.method, request.path) == ("POST", "/v1/token"):
            try:
                return json_reply(self._exchange(request.body))
            except ExchangeError as error:
                body = {"error": error.error, "error_description": str(error)}
                return json_reply(body, 400)
        found = _OBJECT.fullmatch(request.path)
        if request.method != "GET" or found is None:
            raise ApiError("NOT_FOUND", f"no {request.method} {request.path}")
        bucket, name = found.groups()
        self._check(request.headers.get("authorization", ""), bucket, name)
        return self._fetch(request, bucket, name)

    def _exchange(self, body: bytes) -> dict[str, object]:
        """Exchange an account's token for one within a boundary."""
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        expected = {
            "grant_type": _GRANT,
            "subject_token_type": _ACCESS_TOKEN,
            "requested_token_type": _ACCESS_TOKEN,
        }
        for name, value in expected.items():
            if form.get(name) != value:
                raise ExchangeError("invalid_request", f"expected {name} {value}")
        subject = _SUBJECT.fullmatch(form.get("subject_token", ""))
        if subject is None:
            raise ExchangeError("invalid_grant", "the subject token is none of ours")
        ends_at_s = time.time() + self._settings.token_s
        rules = _read_rules(form.get("options", ""))
        claims = Claims(subject.group(1), rules, ends_at_s)
        return {
            "access_token": self._sign(claims),
            "issued_token_type": _ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": self._settings.token_s,
        }

    def _sign(self, claims: Claims) -> str:
        raw = json.dumps([claims.account, claims.rules, claims.ends_at_s]).encode()
        text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return f"downscoped.{text}.{self._mac(text)}"

    def _mac(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def _check(self, authorization: str, bucket: str, name: str) -> None:
        """Let through who may read the object."""
        if not authorization:
            raise _denied("Anonymous caller does not have storage.objects.get access")
        scheme, _, token = authorization.partition(" ")
        claims = self._read_token(token) if scheme == "Bearer" else None
        if claims is None:
            raise ApiError("UNAUTHENTICATED", "Invalid Credentials")
        is_within = claims.admits(f"projects/_/buckets/{bucket}", name)
        if not is_within or claims.account not in self._settings.readers:
            raise _denied(f"{claims.account} does not have storage.objects.get access")

    def _read_token(self, token: str) -> Claims | None:
        """Return what a token says, while it is good."""
        kind, _, rest = token.partition(".")
        text, _, mac = rest.partition(".")
        if kind != "downscoped" or not hmac.compare_digest(
            mac.encode(), self._mac(text).encode()
        ):
            return None
        padded = text + "=" * (-len(text) % 4)
        account, rules, ends_at_s = json.loads(base64.urlsafe_b64decode(padded))
        claims = Claims(account, tuple(tuple(rule) for rule in rules), ends_at_s)
        return claims if time.time() < ends_at_s else None

    def _fetch(self, request: Request, bucket: str, name: str) -> Reply:
        """Read the object from the storage server."""
        sent = {n: request.headers[n] for n in _PASSED_ON if n in request.headers}
        try:
            answer = self._session.get(
                f"{self._settings.storage_url}/{bucket}/{quote(name)}",
                headers={"Accept-Encoding": "identity", **sent},
                timeout=UPSTREAM_TIMEOUT_S,
            )
        except requests.RequestException as error:
            raise ApiError("UNAVAILABLE", "the storage server is away") from error
        if answer.status_code == 404:  # noqa: PLR2004 - HTTP's Not Found
            raise _denied("storage.objects.get, or it may not exist")
        headers = {n: v for n, v in answer.headers.items() if n.lower() in _PASSED_BACK}
        return Reply(answer.status_code, answer.content, headers)


def _read_rules(options: str) -> tuple[tuple[str, str], ...]:
    """Read a Credential Access Boundary.

    Raises:
        ExchangeError: It is none, or none that is understood here.
    """
    try:
        boundary = json.loads(unquote(options))["accessBoundary"]
        rules = boundary["accessBoundaryRules"]
        if not 1 <= len(rules) <= RULES_MAX:
            raise ExchangeError("invalid_request", f"expected 1..{RULES_MAX} rules")
        return tuple(_read_rule(rule) for rule in rules)
    except (ValueError, KeyError, TypeError) as error:
        raise ExchangeError("invalid_request", "expected an access boundary") from error


def _read_rule(rule: Mapping[str, object]) -> tuple[str, str]:
    resource = _RESOURCE.fullmatch(str(rule["availableResource"]))
    condition = rule["availabilityCondition"]
    expression = condition.get("expression") if isinstance(condition, dict) else None
    prefix = _CONDITION.fullmatch(str(expression))
    permissions = rule["availablePermissions"]
    is_reading = isinstance(permissions, list) and set(permissions) <= _READING_ROLES
    if resource is None or prefix is None or not is_reading:
        raise ExchangeError("invalid_request", f"this rule is not understood: {rule}")
    return resource.group(1), prefix.group(1)


def _denied(message: str) -> ApiError:
    return ApiError("PERMISSION_DENIED", f"Access denied. {message}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    found = _read_arguments(arguments)
    settings = Settings(
        found.storage.rstrip("/"), frozenset(found.reader), found.token_s
    )
    wait_for_stop = take_stop_signals()
    bucket = PrivateBucket(settings, load_or_make_key(found.data / "tokens.key"))
    server = start(found.host, found.port, bucket.handle)
    event = {"event": "private_bucket.listening", "port": server.port}
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()
    wait_for_stop()
    return 0


def load_or_make_key(path: Path) -> bytes:
    """Return the key in `path`; the first time, make it and keep it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        beside = path.with_suffix(".new")
        beside.write_bytes(secrets.token_bytes(32))
        beside.replace(path)  # whole or not at all
    return path.read_bytes()


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local_cloud.private_bucket",
        description=__doc__.split("\n", 1)[0],
    )
    parser.add_argument("--host", default="127.0.0.1", choices=["127.0.0.1"])
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder of the key")
    parser.add_argument("--storage", required=True, help="URL of the storage server")
    parser.add_argument(
        "--reader",
        action="append",
        default=[],
        help="account that may read the buckets; may be repeated",
    )
    parser.add_argument(
        "--token-s", type=int, default=3600, help="how long a token is good"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
