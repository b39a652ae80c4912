"""The registry that models are pushed to: what it holds, and what goes into it.

Source: OCI distribution-spec 1.1, "Pushing" and "Content discovery"
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from packhorse.cli.failure import CommandError
from packhorse.cli.registry_client import Address, Answer, RegistryClient
from packhorse.cli.web import persist
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
_OK, _CREATED, _NOT_FOUND = 200, 201, 404


@dataclass(frozen=True, slots=True)
class Stored:
    """A version that the registry holds already."""

    digest: str
    layers: tuple[Layer, ...]


class ModelRepository:
    """One repository of models."""

    def __init__(self, address: Address, *, token: str | None) -> None:
        """Push to `address`.

        Args:
            address: Over http only where it says so.
            token: Access token; None uses what `docker login` left, if anything.
        """
        self._client = RegistryClient(address, token=token)
        self._prefix = f"/v2/{address.path}"

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def versions(self, model: str) -> list[int]:
        """Return the version numbers that `model` has, in ascending order."""
        path = f"{self._prefix}/{model}/tags/list"
        versions: set[int] = set()
        for _ in range(PAGES_MAX):
            answer = self._client.ask("GET", path, limit_bytes=TAGS_MAX_BYTES)
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
        headers = {"Accept": OCI_MANIFEST_TYPE}
        answer = self._client.ask("GET", self._manifest(release), headers=headers)
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
        blobs = f"{self._prefix}/{model}/blobs"
        if self._client.ask("HEAD", f"{blobs}/{layer.digest}").status == _OK:
            on_sent(layer.length_bytes)
            return

        def send() -> Answer:
            with open_file() as stream:
                body = _Counted(stream, layer, on_sent)
                return self._client.send_blob(f"{blobs}/uploads/", layer.digest, body)

        self._expect(persist(send), _CREATED, layer.name)

    def tag(self, release: Release, manifest: bytes) -> str:
        """Put the manifest under the release's version; return its digest."""
        headers = {"Content-Type": OCI_MANIFEST_TYPE}
        answer = self._client.ask(
            "PUT", self._manifest(release), headers=headers, data=manifest
        )
        self._expect(answer, _CREATED)
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def _manifest(self, release: Release) -> str:
        return f"{self._prefix}/{release.model}/manifests/{release.version}"

    def _expect(self, answer: Answer, status: int, what: str = "") -> None:
        if answer.status != status:
            refused = f"did not take {what}: it " if what else ""
            raise CommandError(
                f"{self._client.name} {refused}answered {answer.status}"
                f"{_said(answer.body)}"
            )


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
