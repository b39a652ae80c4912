"""The registry that models are pushed to, spoken to with `oras`.

Source: OCI distribution-spec 1.1, "Pushing"
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from oras.container import Container  # type: ignore[import-untyped]  # it ships none
from oras.provider import Registry  # type: ignore[import-untyped]  # it ships none

from packhorse.cli.failure import CommandError
from packhorse.errors import MalformedError
from packhorse.names import Release
from packhorse.pushed_model import (
    OCI_MANIFEST_TYPE,
    PUSHED_MANIFEST_MAX_BYTES,
    Layer,
    decode_pushed_manifest,
)

_OK = 200
_CREATED = 201
_NOT_FOUND = 404
_USER = "oauth2accesstoken"
"""Source: Artifact Registry, "Configure authentication", access token."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A version that the registry holds already."""

    digest: str
    layers: tuple[Layer, ...]


class ModelRepository:
    """One repository of models, `HOST/PROJECT/REPOSITORY`."""

    def __init__(self, address: str, *, token: str | None) -> None:
        """Push to `address`, over http only where it says so.

        Args:
            address: `HOST/PROJECT/REPOSITORY`; `http://` may stand before it.
            token: Access token; None uses what `docker login` left, if anything.
        """
        parts = urlsplit(address if "://" in address else f"https://{address}")
        if not parts.netloc or not parts.path.strip("/"):
            raise MalformedError(
                "the registry is written as HOST/PROJECT/REPOSITORY, "
                f"not {address[:100]!r}"
            )
        self._address = f"{parts.netloc}{parts.path}".rstrip("/")
        self._client = Registry(parts.netloc, insecure=parts.scheme == "http")
        if token:
            self._client.auth.set_basic_auth(_USER, token)

    def versions(self, model: str) -> list[int]:
        """Return the version numbers that `model` has, in ascending order."""
        container = self._container(model, "latest")
        reply = self._send("GET", f"{container.tags_url()}")
        if reply.status_code == _NOT_FOUND:
            return []
        self._expect(reply, _OK)
        tags = reply.json().get("tags") or []
        return sorted(int(tag) for tag in tags if tag.isascii() and tag.isdigit())

    def find(self, release: Release) -> Stored | None:
        """Return what the registry holds as `release`, if anything."""
        container = self._container(release.model, str(release.version))
        headers = {"Accept": OCI_MANIFEST_TYPE}
        reply = self._send("GET", container.manifest_url(), headers=headers)
        if reply.status_code == _NOT_FOUND:
            return None
        self._expect(reply, _OK)
        body = reply.content[: PUSHED_MANIFEST_MAX_BYTES + 1]
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        try:
            _, layers = decode_pushed_manifest(body)
        except MalformedError:
            # Something of another kind has the tag; its digest alone tells.
            return Stored(digest, ())
        return Stored(digest, layers)

    def upload(self, model: str, file: Path, digest: str, length_bytes: int) -> None:
        """Upload one file, unless the registry has it already."""
        layer = {"digest": digest, "size": length_bytes}
        container = self._container(model, "latest")
        reply = self._client.upload_blob(str(file), container, layer)
        if reply.status_code not in {_OK, _CREATED}:
            raise CommandError(
                f"the registry did not take {file.name}: it answered "
                f"{reply.status_code}"
            )

    def tag(self, release: Release, manifest: bytes) -> str:
        """Put the manifest under the release's version; return its digest."""
        container = self._container(release.model, str(release.version))
        headers = {"Content-Type": OCI_MANIFEST_TYPE}
        url = container.manifest_url()
        self._expect(self._send("PUT", url, headers=headers, data=manifest), _CREATED)
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def _container(self, model: str, tag: str) -> Container:
        return Container(f"{self._address}/{model}:{tag}")

    def _send(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> requests.Response:
        url = f"{self._client.prefix}://{path}"
        reply: requests.Response = self._client.do_request(
            url, method, headers=headers or {}, data=data
        )
        return reply

    @staticmethod
    def _expect(reply: requests.Response, status: int) -> None:
        if reply.status_code != status:
            raise CommandError(f"the registry answered {reply.status_code}")
