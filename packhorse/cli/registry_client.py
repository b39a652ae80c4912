"""Requests to a registry, made with `oras`.

`oras` waits as long as it takes, sleeps between retries of its own, and reads a
file into memory before it sends it. So this module gives each request a
timeout, calls the request that lies beneath oras's retries, and sends files
itself.

Source: OCI distribution-spec 1.1, "Pushing"
"""

import functools
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode, urljoin, urlsplit

import requests
from oras.container import Container  # type: ignore[import-untyped]  # it ships none
from oras.logger import logger  # type: ignore[import-untyped]  # it ships none
from oras.provider import Registry  # type: ignore[import-untyped]  # it ships none

from packhorse.cli.failure import CommandError
from packhorse.cli.web import (
    CONNECT_TIMEOUT_S,
    LATER,
    TIMEOUTS_S,
    AwayError,
    persist,
    read_body,
)
from packhorse.errors import MalformedError
from packhorse.pushed_model import PUSHED_MANIFEST_MAX_BYTES

ADDRESS_MAX = 300
COMMIT_TIMEOUT_S = 300.0
"""A registry may hash and copy a whole file before it answers."""

_ACCEPTED = 202
_NO_ENTRY = frozenset({401, 403})
_PORT_MAX = 65_535
_USER = "oauth2accesstoken"
"""Source: Artifact Registry, "Configure authentication", access token."""
_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_ADDRESS = re.compile(
    rf"(?:(?P<scheme>https?)://)?(?P<host>{_HOST})/(?P<path>{_PART}(?:/{_PART})*)/?"
)
# What oras raises for a challenge or a configuration that it does not understand.
_ORAS_AT_A_LOSS = (ValueError, TypeError, AttributeError, KeyError)

logger.set_level(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Address:
    """Where models are pushed to.

    Attributes:
        host: With the port, if there is one.
        path: `PROJECT/REPOSITORY`.
    """

    scheme: str
    host: str
    path: str


def parse_address(text: str) -> Address:
    """Read `HOST/PROJECT/REPOSITORY`; `http://` may stand before it."""
    match = _ADDRESS.fullmatch(text) if len(text) <= ADDRESS_MAX else None
    if match is None or int(match["port"] or 0) > _PORT_MAX:
        raise MalformedError(
            "a registry is written as HOST/PROJECT/REPOSITORY, for example "
            f"europe-west4-docker.pkg.dev/my-project/models, not {text[:100]!r}"
        )
    return Address(match["scheme"] or "https", match["host"], match["path"])


@dataclass(frozen=True, slots=True)
class Answer:
    """What the registry answered.

    Attributes:
        next_page: Path and query of what follows; empty at the end.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    next_page: str


class Body(Protocol):
    """A file to send, of known length."""

    def __len__(self) -> int:
        """Return what goes into the header `Content-Length`."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next piece."""


class RegistryClient:
    """Requests to one registry, each with a timeout and few attempts."""

    def __init__(self, address: Address, *, token: str | None) -> None:
        """Speak to the registry of `address`, with a token or what is at hand."""
        self.name = f"the registry {address.host}"
        self._host = address.host
        self._base = f"{address.scheme}://{address.host}"
        self._oras = Registry(address.host, insecure=address.scheme == "http")
        session = self._oras.session
        session.request = functools.partial(session.request, timeout=TIMEOUTS_S)
        # A line in ~/.netrc would take the place of the token.
        session.auth = lambda request: request
        session.hooks["response"].append(_drop_challenge)
        if token:
            self._oras.auth.set_basic_auth(_USER, token)
        else:
            self._load_login()

    def close(self) -> None:
        """Close the connection."""
        self._oras.session.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        limit_bytes: int = PUSHED_MANIFEST_MAX_BYTES,
    ) -> Answer:
        """Ask for `path`, and again where the registry asks to come back.

        Raises:
            CommandError: It does not let us in, or answers with too much.
        """

        def once() -> Answer:
            return self._answer(
                self._request(method, path, headers=headers, data=data), limit_bytes
            )

        return persist(once)

    def send_blob(self, uploads: str, digest: str, body: Body) -> Answer:
        """Open an upload at `uploads` and send all of `body` to it, once."""
        opened = self._answer(self._request("POST", uploads), PUSHED_MANIFEST_MAX_BYTES)
        location = opened.headers.get("Location", "")
        if opened.status != _ACCEPTED or not location:
            return opened
        url = urljoin(self._base, location)
        headers = {"Content-Type": "application/octet-stream"}
        if urlsplit(url).netloc == self._host:
            # A place that the registry sends us to is not told its token.
            headers |= self._oras.auth.get_auth_header()
        query = urlencode({"digest": digest})
        reply = self._oras.session.request(
            "PUT",
            f"{url}{'&' if urlsplit(url).query else '?'}{query}",
            data=body,
            headers=headers,
            timeout=(CONNECT_TIMEOUT_S, COMMIT_TIMEOUT_S),
            stream=True,
        )
        return self._answer(reply, PUSHED_MANIFEST_MAX_BYTES)

    def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> requests.Response:
        # Beneath the decorator that retries for two minutes, and that turns a
        # status into an error without one.
        request = Registry.do_request.__wrapped__
        url, sent = f"{self._base}{path}", dict(headers or {})
        try:
            reply: requests.Response = request(
                self._oras, url, method, headers=sent, data=data, stream=True
            )
        except requests.ConnectionError:
            raise
        except _ORAS_AT_A_LOSS as error:
            raise self._no_entry("asks for a credential") from error
        return reply

    def _answer(self, reply: requests.Response, limit_bytes: int) -> Answer:
        body = read_body(reply, what=self.name, limit_bytes=limit_bytes)
        if reply.status_code in _NO_ENTRY:
            raise self._no_entry(f"answered {reply.status_code}")
        if reply.status_code in LATER:
            raise AwayError(f"{self.name} answered {reply.status_code}; try again")
        return Answer(reply.status_code, reply.headers, body, _next_page(reply))

    def _load_login(self) -> None:
        """Find what `docker login`, or a helper that it names, has for the host."""
        try:
            self._oras.auth.load_configs(Container(f"{self._host}/any"))
        except (*_ORAS_AT_A_LOSS, OSError) as error:
            raise CommandError(
                "what `docker login` left cannot be read; "
                "give an access token with --registry-token"
            ) from error

    def _no_entry(self, how: str) -> CommandError:
        return CommandError(
            f"{self.name} does not let us in (it {how}); give an access token that "
            "may write there with --registry-token, or `docker login` first"
        )


def _drop_challenge(reply: requests.Response, **_: object) -> None:
    """Close what oras reads the head of only."""
    if reply.status_code in _NO_ENTRY:
        reply.close()


def _next_page(reply: requests.Response) -> str:
    """Return path and query of the page after this one; never another host's."""
    link = reply.links.get("next", {}).get("url", "")
    parts = urlsplit(urljoin("/", link)) if link else None
    return f"{parts.path}?{parts.query}" if parts else ""
