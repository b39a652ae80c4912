"""Objects in one bucket of Cloud Storage, over Google's own client.

The client's own retries are off: every caller is a function that Pub/Sub or a
workflow calls again. What must not be overwritten is written under a generation
condition, so a repeated or a lost reply is harmless.

Source: Cloud Storage, "Request preconditions"
"""

import io
from collections.abc import Iterator
from typing import BinaryIO

from google.api_core import exceptions as google_errors
from google.cloud.storage import Blob, Client  # type: ignore[import-untyped]  # no types

from functions.adapters.byte_stream import open_stream
from functions.adapters.calls import upstream
from packhorse.errors import LimitExceededError

TIMEOUT_S = 30.0
"""For connecting, and for each read or write on the connection."""
CHUNK_BYTES = 4 * 1024**2
"""Sent or fetched in one request: what a stream holds in memory. A multiple of
256 KiB, as resumable uploads ask for."""
_NAME = "Cloud Storage"
_ABSENT = 0
"""The generation of an object that does not exist."""


def open_store(bucket: str) -> "ObjectStore":
    """Return a bucket, with the credentials and project of this process."""
    return ObjectStore(bucket, client=Client())


class ObjectStore:
    """One bucket."""

    def __init__(self, bucket: str, *, client: Client) -> None:
        """Work on `bucket` through `client`, which finds its own credentials."""
        self._bucket = client.bucket(bucket)

    def read(self, name: str, limit_bytes: int) -> bytes | None:
        """Return an object's content; None where there is none.

        Raises:
            LimitExceededError: It is longer than `limit_bytes`.
            UpstreamUnavailableError: Not readable now.
        """
        return self._download(self._bucket.blob(name), limit_bytes)

    def read_with_generation(
        self, name: str, limit_bytes: int
    ) -> tuple[bytes, int] | None:
        """Return an object's content and the generation it had, or None.

        Raises:
            LimitExceededError: It is longer than `limit_bytes`.
            UpstreamUnavailableError: Not readable now.
        """
        blob = self._find(name)
        if blob is None:
            return None
        # Where a writer comes in between, the content may be newer than the
        # generation. A conditional write then fails, which is the safe way.
        generation = int(blob.generation)
        content = self._download(self._bucket.blob(name), limit_bytes)
        return None if content is None else (content, generation)

    def open_reader(self, name: str) -> BinaryIO | None:
        """Return an object as a stream of one generation; None where there is none.

        Reading it raises `UpstreamUnavailableError` when the connection breaks.
        """
        blob = self._find(name)
        return None if blob is None else open_stream(_pieces(blob))

    def write_once(
        self,
        name: str,
        body: BinaryIO | bytes,
        *,
        length_bytes: int,
        content_type: str,
        cache_control: str,
    ) -> bool:
        """Store `body` under `name` unless it is there already.

        Args:
            name: Object name.
            body: Bytes, or a file that is read once from its current position.
            length_bytes: Length of `body`.
            content_type: For whoever downloads it.
            cache_control: For the caches between here and there.

        Returns:
            Whether this call wrote it. False when an earlier one did.

        Raises:
            UpstreamUnavailableError: Not stored now; safe to call again.
        """
        if length_bytes > CHUNK_BYTES and self._find(name) is not None:
            # One question saves sending it all to be told so at the end.
            return False
        blob = self._bucket.blob(name, chunk_size=CHUNK_BYTES)
        blob.content_type = content_type
        blob.cache_control = cache_control
        return self._upload(blob, body, length_bytes, _ABSENT)

    def write_if_generation(self, name: str, body: bytes, generation: int) -> bool:
        """Replace an object if it still is the generation that was read.

        Such an object is never cached: its name stays, its content does not.

        Returns:
            Whether it was replaced. False when another writer came first.

        Raises:
            UpstreamUnavailableError: Perhaps stored, perhaps not; read again.
        """
        blob = self._bucket.blob(name)
        blob.content_type = "application/json"
        blob.cache_control = "no-store"
        return self._upload(blob, body, len(body), generation)

    def _find(self, name: str) -> Blob | None:
        with upstream(_NAME):
            return self._bucket.get_blob(name, timeout=TIMEOUT_S, retry=None)

    def _download(self, blob: Blob, limit_bytes: int) -> bytes | None:
        with upstream(_NAME):
            try:
                # `end` is the last byte asked for: one more than is allowed.
                content: bytes = blob.download_as_bytes(
                    end=limit_bytes, checksum=None, timeout=TIMEOUT_S, retry=None
                )
            except google_errors.NotFound:
                return None
            except google_errors.RequestRangeNotSatisfiable:
                return b""
        if len(content) > limit_bytes:
            raise LimitExceededError(
                f"{blob.name} may be {limit_bytes} bytes long, it is longer"
            )
        return content

    def _upload(
        self,
        blob: Blob,
        body: BinaryIO | bytes,
        length_bytes: int,
        generation: int,
    ) -> bool:
        with upstream(_NAME):
            try:
                blob.upload_from_file(
                    io.BytesIO(body) if isinstance(body, bytes) else body,
                    size=length_bytes,
                    content_type=blob.content_type,
                    if_generation_match=generation,
                    timeout=TIMEOUT_S,
                    retry=None,
                )
            except google_errors.PreconditionFailed:
                return False
        return True


def _pieces(blob: Blob) -> Iterator[bytes]:
    """Yield the content of the generation that `blob` names."""
    for start in range(0, int(blob.size), CHUNK_BYTES):
        with upstream(_NAME):
            piece: bytes = blob.download_as_bytes(
                start=start,
                end=min(start + CHUNK_BYTES, int(blob.size)) - 1,
                checksum=None,
                timeout=TIMEOUT_S,
                retry=None,
            )
        yield piece
