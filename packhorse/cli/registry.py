"""The registry that models are pushed to, spoken to with `oras`.

`oras` waits as long as it takes, sleeps between retries of its own, and reads a
file into memory before it sends it. So this module gives each request a
timeout, calls the request that lies beneath oras's retries, and sends files
itself.

Source: OCI distribution-spec 1.1, "Pushing" and "Content discovery"
"""

import functools
import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO
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
from packhorse.names import Release
from packhorse.pushed_model import (
    OCI_MANIFEST_TYPE,
    PUSHED_MANIFEST_MAX_BYTES,
    Layer,
    decode_pushed_manifest,
)
from packhorse.strict_json import decode_json

TAGS_MAX_BYTES = 4 * 1024**2
PAGES_MAX = 1_000
ADDRESS_MAX = 300
COMMIT_TIMEOUT_S = 300.0
"""A registry may hash and copy a whole file before it answers."""

_OK, _CREATED, _ACCEPTED, _NOT_FOUND = 200, 201, 202, 404
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
class Stored:
    """A version that the registry holds already."""

    digest: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    next_page: str


class ModelRepository:
    """One repository of models."""

    def __init__(self, address: Address, *, token: str | None) -> None:
        """Push to `address`.

        Args:
            address: Over http only where it says so.
            token: Access token; None uses what `docker login` left, if anything.
        """
        self._address = address
        self._base = f"{address.scheme}://{address.host}"
        self._client = Registry(address.host, insecure=address.scheme == "http")
        session = self._client.session
        session.request = functools.partial(session.request, timeout=TIMEOUTS_S)
        # A line in ~/.netrc would take the place of the token.
        session.auth = lambda request: request
        if token:
            self._client.auth.set_basic_auth(_USER, token)
        else:
            self._load_login()

    def versions(self, model: str) -> list[int]:
        """Return the version numbers that `model` has, in ascending order."""
        path = f"{self._path(model)}/tags/list"
        versions: set[int] = set()
        for _ in range(PAGES_MAX):
            answer = self._ask("GET", path, limit_bytes=TAGS_MAX_BYTES)
            if answer.status == _NOT_FOUND:
                break
            self._expect(answer, _OK)
            versions |= _read_versions(answer.body)
            if not answer.next_page:
                break
            path = answer.next_page
        return sorted(versions)

    def find(self, release: Release) -> Stored | None:
        """Return what the registry holds as `release`, if anything."""
        answer = self._ask(
            "GET",
            f"{self._path(release.model)}/manifests/{release.version}",
            headers={"Accept": OCI_MANIFEST_TYPE},
        )
        if answer.status == _NOT_FOUND:
            return None
        self._expect(answer, _OK)
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        try:
            _, layers = decode_pushed_manifest(answer.body)
        except MalformedError:
            # Something of another kind has the tag; its digest alone tells.
            return Stored(digest, ())
        return Stored(digest, layers)

    def upload(
        self,
        model: str,
        layer: Layer,
        open_file: Callable[[], BinaryIO],
        on_sent: Callable[[int], None],
    ) -> None:
        """Upload one file, unless the registry has it already.

        Args:
            model: Whose file it is.
            layer: Its name, digest and length.
            open_file: Called again where the registry asks to come back.
            on_sent: Told of every piece that went out, in bytes.
        """
        blobs = f"{self._path(model)}/blobs"
        if self._ask("HEAD", f"{blobs}/{layer.digest}").status == _OK:
            on_sent(layer.length_bytes)
            return

        def send() -> _Answer:
            with open_file() as stream:
                return self._send_file(blobs, layer, _Counted(stream, layer, on_sent))

        self._expect(persist(send), _CREATED, layer.name)

    def tag(self, release: Release, manifest: bytes) -> str:
        """Put the manifest under the release's version; return its digest."""
        path = f"{self._path(release.model)}/manifests/{release.version}"
        headers = {"Content-Type": OCI_MANIFEST_TYPE}
        self._expect(self._ask("PUT", path, headers=headers, data=manifest), _CREATED)
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def _send_file(self, blobs: str, layer: Layer, body: "_Counted") -> _Answer:
        opened = self._ask_once("POST", f"{blobs}/uploads/")
        location = opened.headers.get("Location", "")
        if opened.status != _ACCEPTED or not location:
            return opened
        url = urljoin(self._base, location)
        query = urlencode({"digest": layer.digest})
        headers = {"Content-Type": "application/octet-stream"}
        if urlsplit(url).netloc == self._address.host:
            # A place that the registry sends us to is not told its token.
            headers |= self._client.auth.get_auth_header()
        reply = self._client.session.request(
            "PUT",
            f"{url}{'&' if urlsplit(url).query else '?'}{query}",
            data=body,
            headers=headers,
            timeout=(CONNECT_TIMEOUT_S, COMMIT_TIMEOUT_S),
            stream=True,
        )
        return self._answer(reply, PUSHED_MANIFEST_MAX_BYTES)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        limit_bytes: int = PUSHED_MANIFEST_MAX_BYTES,
    ) -> _Answer:
        """Ask for `path`, and again where the registry asks to come back."""
        return persist(
            lambda: self._ask_once(
                method, path, headers=headers, data=data, limit_bytes=limit_bytes
            )
        )

    def _ask_once(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        limit_bytes: int = PUSHED_MANIFEST_MAX_BYTES,
    ) -> _Answer:
        # Beneath the decorator that retries for two minutes, and that turns a
        # status into an error without one.
        request = Registry.do_request.__wrapped__
        url, sent = f"{self._base}{path}", dict(headers or {})
        try:
            reply = request(
                self._client, url, method, headers=sent, data=data, stream=True
            )
        except requests.RequestException:
            raise
        except _ORAS_AT_A_LOSS as error:
            raise self._no_entry("asks for a credential") from error
        return self._answer(reply, limit_bytes)

    def _answer(self, reply: requests.Response, limit_bytes: int) -> _Answer:
        body = read_body(reply, what=self._name, limit_bytes=limit_bytes)
        if reply.status_code in _NO_ENTRY:
            raise self._no_entry(f"answered {reply.status_code}")
        if reply.status_code in LATER:
            raise AwayError(f"{self._name} answered {reply.status_code}; try again")
        return _Answer(reply.status_code, reply.headers, body, _next_page(reply))

    def _load_login(self) -> None:
        """Find what `docker login`, or a helper that it names, has for the host."""
        try:
            self._client.auth.load_configs(Container(f"{self._address.host}/any"))
        except (*_ORAS_AT_A_LOSS, OSError) as error:
            raise CommandError(
                "what `docker login` left cannot be read; "
                "give an access token with --registry-token"
            ) from error

    def _no_entry(self, how: str) -> CommandError:
        return CommandError(
            f"{self._name} does not let us in (it {how}); give an access token that "
            "may write there with --registry-token, or `docker login` first"
        )

    def _expect(self, answer: _Answer, status: int, what: str = "") -> None:
        if answer.status != status:
            refused = f"did not take {what}: it " if what else ""
            raise CommandError(
                f"{self._name} {refused}answered {answer.status}{_said(answer.body)}"
            )

    def _path(self, model: str) -> str:
        return f"/v2/{self._address.path}/{model}"

    @property
    def _name(self) -> str:
        return f"the registry {self._address.host}"


class _Counted:
    """A file that says how much of it has been read."""

    def __init__(
        self, stream: BinaryIO, layer: Layer, on_sent: Callable[[int], None]
    ) -> None:
        """Send `stream`, as long as its layer says."""
        self._stream, self._length_bytes = stream, layer.length_bytes
        self._on_sent = on_sent

    def __len__(self) -> int:
        """Return what goes into the header `Content-Length`."""
        return self._length_bytes

    def read(self, size: int = -1) -> bytes:
        """Return the next piece."""
        piece = self._stream.read(size)
        self._on_sent(len(piece))
        return piece


def _read_versions(body: bytes) -> set[int]:
    """Read the tags that are versions; others are no business of ours."""
    document = decode_json(
        body, what="list of the registry's tags", limit_bytes=TAGS_MAX_BYTES
    )
    tags = document.get("tags") if isinstance(document, dict) else None
    if tags is not None and not isinstance(tags, list):
        raise MalformedError("the registry's tags must be a list")
    pattern = re.compile(r"[1-9][0-9]{0,8}")
    return {int(tag) for tag in tags or [] if pattern.fullmatch(str(tag))}


def _next_page(reply: requests.Response) -> str:
    """Return path and query of the page after this one; never another host's."""
    link = reply.links.get("next", {}).get("url", "")
    parts = urlsplit(urljoin("/", link)) if link else None
    return f"{parts.path}?{parts.query}" if parts else ""


def _said(body: bytes) -> str:
    """Return what the registry says of its error, as OCI writes it."""
    try:
        document = decode_json(
            body, what="error", limit_bytes=PUSHED_MANIFEST_MAX_BYTES
        )
        message = document["errors"][0]["message"]  # type: ignore[index]  # as hoped
    except (MalformedError, LookupError, TypeError):
        return ""
    return f" ({str(message)[:200]})"
