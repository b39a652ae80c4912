"""Pushed models in the registry, read by digest with `oras`.

`oras` believes what it is sent, waits as long as it takes, and sleeps between
retries of its own. So this module checks the manifest's and every layer's
digest and length while they come, gives each read a deadline, and calls the
request that lies beneath oras's retries.

Source: OCI distribution-spec 1.1, "Pulling manifests" and "Pulling blobs"
"""

import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
from oras.provider import Registry  # type: ignore[import-untyped]  # it ships none

from functions.adapters.byte_stream import open_stream
from functions.adapters.calls import refusal, upstream
from functions.errors import ReleaseRefusedError, UpstreamRefusedError
from packhorse.errors import MalformedError, UntrustedError
from packhorse.model_card import (
    CARD_MAX_BYTES,
    ModelCard,
    card_fields,
    decode_card,
)
from packhorse.names import SHA256
from packhorse.pushed_model import (
    OCI_MANIFEST_TYPE,
    PUSHED_MANIFEST_MAX_BYTES,
    Layer,
    PushedModel,
    Role,
    decode_pushed_manifest,
)

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
"""For each read on the connection; the function's own timeout bounds the whole."""
CHUNK_BYTES = 262_144
_NAME = "the registry"
_DIGEST = re.compile(f"sha256:{SHA256}")
_OK = 200
_NOT_FOUND = 404
_USER = "oauth2accesstoken"
"""Source: Artifact Registry, "Configure authentication", access token."""


class ModelRegistry:
    """The repository of models in one registry."""

    def __init__(
        self,
        repository: str,
        *,
        endpoint: str,
        access_token: Callable[[], str] | None,
    ) -> None:
        """Read `repository` at `endpoint`.

        Args:
            repository: `HOST/PROJECT/REPOSITORY`, as notices name it.
            endpoint: URL of the registry that answers for HOST.
            access_token: Called for each request; None for a registry that asks
                for no credential.
        """
        parts = urlsplit(endpoint)
        self._prefix = f"{repository}/"
        self._host, self._is_insecure = parts.netloc, parts.scheme == "http"
        self._access_token = access_token

    def manifest(self, image: str, digest: str) -> PushedModel:
        """Read what was pushed as `image` with this digest.

        Args:
            image: `HOST/PROJECT/REPOSITORY/MODEL`.
            digest: Of the manifest, `sha256:` and 64 hex digits.

        Raises:
            MalformedError: It is no pushed model, or says another name than its
                image and its card do.
            ReleaseRefusedError: It is not there, or not in this repository.
            UntrustedError: What came is not what the digest names.
            UpstreamUnavailableError: The registry does not answer now.
        """
        body = self._read_manifest(image, digest)
        release, layers = decode_pushed_manifest(body)
        model = image.removeprefix(self._prefix)
        card_layer = next(layer for layer in layers if layer.role is Role.CARD)
        card = self._read_card(image, card_layer)
        if {release.model, card.model} != {model}:
            raise MalformedError(
                f"what is pushed to {model} must say so in its manifest and its card; "
                f"they say {release.model} and {card.model}"
            )
        return PushedModel(
            release.model, release.version, digest, card_fields(card), layers
        )

    def open_layer(self, image: str, layer: Layer) -> BinaryIO:
        """Return a layer as a stream, checked while it is read.

        Reading raises `UntrustedError` where the content is longer or shorter than
        the manifest says, and at its end when its hash is another one. Until the
        end is reached, nothing that was read may be used.
        """
        return open_stream(self._verified(image, layer))

    def _read_manifest(self, image: str, digest: str) -> bytes:
        if _DIGEST.fullmatch(digest) is None:
            raise MalformedError(f"a digest is sha256:<64 hex>, not {digest[:80]!r}")
        url = f"{self._path(image)}/manifests/{digest}"
        with closing(self._get(url, accept=OCI_MANIFEST_TYPE)) as response:
            limited = _limited(response, PUSHED_MANIFEST_MAX_BYTES, "the manifest")
            body = b"".join(limited)
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
            raise UntrustedError(f"the manifest that came is not {digest}")
        return body

    def _read_card(self, image: str, layer: Layer) -> ModelCard:
        if layer.length_bytes > CARD_MAX_BYTES:
            raise MalformedError(
                f"a model card may have {CARD_MAX_BYTES} bytes, "
                f"this one says it has {layer.length_bytes}"
            )
        return decode_card(b"".join(self._verified(image, layer)))

    def _verified(self, image: str, layer: Layer) -> Iterator[bytes]:
        what = f"layer {layer.name}"
        digest, length_bytes = hashlib.sha256(), 0
        url = f"{self._path(image)}/blobs/{layer.digest}"
        with closing(self._get(url, accept="*/*")) as response:
            for piece in _limited(response, layer.length_bytes, what):
                digest.update(piece)
                length_bytes += len(piece)
                yield piece
        if length_bytes != layer.length_bytes:
            raise UntrustedError(
                f"{what} has {length_bytes} bytes, its manifest says "
                f"{layer.length_bytes}"
            )
        if f"sha256:{digest.hexdigest()}" != layer.digest:
            raise UntrustedError(f"{what} is not what its digest names")

    def _path(self, image: str) -> str:
        """Return `/v2/NAME` for an image of this repository."""
        model = image.removeprefix(self._prefix)
        if model == image or not model:
            raise ReleaseRefusedError(
                f"models are pushed to {self._prefix}, not to {image[:200]!r}"
            )
        return f"/v2/{image.partition('/')[2]}"

    def _get(self, path: str, *, accept: str) -> requests.Response:
        """Ask for `path`; the caller closes the response."""
        client = self._client()
        # Beneath the decorator that retries for two minutes, and that turns a
        # status into an error without one.
        request = Registry.do_request.__wrapped__
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        url = f"{client.prefix}://{self._host}{path}"
        with upstream(_NAME):
            try:
                response: requests.Response = request(
                    client, url, "GET", headers=headers, stream=True
                )
            except ValueError as error:
                # oras's word for a 401 that no credential of ours answers.
                raise UpstreamRefusedError(f"{_NAME} does not let us in") from error
        if response.status_code == _OK:
            return response
        response.close()
        if response.status_code == _NOT_FOUND:
            raise ReleaseRefusedError(f"{_NAME} has no {path.rpartition('/')[2]}")
        raise refusal(_NAME, response.status_code)

    def _client(self) -> Registry:
        """Return a client of its own for each request: tokens in it grow old."""
        client = Registry(self._host, insecure=self._is_insecure)
        client.session.request = functools.partial(
            client.session.request, timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        )
        if self._access_token is not None:
            client.auth.set_basic_auth(_USER, self._access_token())
        return client


def _limited(
    response: requests.Response, limit_bytes: int, what: str
) -> Iterator[bytes]:
    """Yield the body as sent, and stop at the first byte too many."""
    left = limit_bytes
    pieces = response.iter_content(CHUNK_BYTES)
    while True:
        with upstream(_NAME):
            piece = next(pieces, None)
        if piece is None:
            return
        left -= len(piece)
        if left < 0:
            raise UntrustedError(f"{what} is longer than {limit_bytes} bytes")
        yield piece
