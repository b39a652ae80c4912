"""Content on disk, named by its digest, and the uploads that bring it.

Layout under the data folder:

    content/sha256/ab/abcd...     one file per digest, complete and never changed
    uploads/HEX                   what has been received so far

An upload's file is the whole state of an upload, so uploads survive a restart.
Which repository may see which content is the catalog's business.
"""

import fcntl
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from local_cloud.registry.disk import fsync_directory, make_directory, move_durably
from local_cloud.registry.errors import Code, RegistryError

UPLOAD_KEPT_S = 24 * 3600
"""An upload that nobody touched for a day is thrown away at the next start."""


class ContentStore:
    """Files named by the SHA-256 of what they hold."""

    def __init__(self, root: Path) -> None:
        """Open or make the store under `root`."""
        self._content = root / "content" / "sha256"
        self._uploads = root / "uploads"
        make_directory(self._content)
        make_directory(self._uploads)
        self._forget_stale_uploads()

    def path(self, digest: str) -> Path:
        """Return where the content of a checked digest lies or would lie."""
        hexadecimal = digest.removeprefix("sha256:")
        return self._content / hexadecimal[:2] / hexadecimal

    def start_upload(self) -> str:
        """Make an empty upload and return its id."""
        upload = uuid.uuid4().hex
        (self._uploads / upload).touch()
        fsync_directory(self._uploads)
        return upload

    def upload_length_bytes(self, upload: str) -> int:
        """Return how much of an upload has been received."""
        return self._existing(upload).stat().st_size

    def cancel_upload(self, upload: str) -> None:
        """Forget an upload and what it received."""
        self._existing(upload).unlink(missing_ok=True)

    @contextmanager
    def append(self, upload: str) -> Iterator[BinaryIO]:
        """Let one request add to an upload, from its end on.

        What was written counts after `save`. When the block fails, the upload
        is as if the request had never come.

        Raises:
            RegistryError: There is no such upload, or another request writes it.
        """
        with self._existing(upload).open("r+b") as file:
            _lock(file)
            length_bytes = file.seek(0, os.SEEK_END)
            try:
                yield file
            except BaseException:
                file.truncate(length_bytes)
                raise

    def finish_upload(self, upload: str, digest: str) -> None:
        """Turn an upload into content, if it is what its digest says.

        Raises:
            RegistryError: It is not; the upload is forgotten.
        """
        path = self._existing(upload)
        with path.open("rb") as file:
            _lock(file)
            came = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            if came != digest:
                path.unlink()
                raise RegistryError(
                    Code.DIGEST_INVALID, f"expected content {digest}, got {came}"
                )
            move_durably(path, self.path(digest))

    def put(self, body: bytes) -> str:
        """Store a small body and return its digest."""
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if not self.path(digest).exists():
            upload = self.start_upload()
            with self.append(upload) as file:
                file.write(body)
                save(file)
            self.finish_upload(upload, digest)
        return digest

    def _existing(self, upload: str) -> Path:
        path = self._uploads / upload
        if not path.is_file():
            raise RegistryError(Code.BLOB_UPLOAD_UNKNOWN, "there is no such upload")
        return path

    def _forget_stale_uploads(self) -> None:
        oldest = time.time() - UPLOAD_KEPT_S
        for path in self._uploads.iterdir():
            if path.stat().st_mtime < oldest:
                path.unlink()


def save(file: BinaryIO) -> None:
    """Make what was written to an upload survive a power cut."""
    file.flush()
    os.fsync(file.fileno())


def _lock(file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RegistryError(
            Code.BLOB_UPLOAD_INVALID, "another request is writing this upload"
        ) from error
