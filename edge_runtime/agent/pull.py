"""Fetch a bundle: resumed where it broke off, checked while it streams.

    <state>/downloads/<sha256>.part     space reserved in full, filled from the front
    <state>/downloads/<sha256>.filled   how far, flushed together with the bytes
    <state>/downloads/<sha256>.bundle   whole, and what the release role vouches for

The space is reserved before the first byte, so a disk that is too small says so
at once and leaves the slots alone. Nothing here lies in TUF's folders.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_runtime import durable
from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.trust import bundle_url
from edge_runtime.agent.web import CHUNK_BYTES, Answer, Web
from packhorse.assignment import BundleRef
from packhorse.bundle import BUNDLE_MAX_BYTES
from packhorse.errors import UntrustedError

CHECKPOINT_BYTES = 4 * 1024 * 1024
"""At most so much is fetched again after a power cut."""

PULL_S = 3600.0
"""Longest time of one attempt; the next goes on where it ended."""

_OK = 200
_PARTIAL = 206


@dataclass(frozen=True, slots=True)
class Downloads:
    """The folder that bundles are fetched into."""

    folder: Path
    repository_url: str
    web: Web

    def path(self, bundle: BundleRef) -> Path:
        """Return where the whole bundle lies once it was pulled."""
        return self.folder / f"{bundle.sha256}.bundle"

    def pull(self, bundle: BundleRef) -> Path:
        """Fetch what is missing of `bundle`; return the file that holds it whole.

        Raises:
            UnavailableError: It broke off; what came is kept.
            UntrustedError: What came is not what the release role vouches for; it
                is thrown away.
            OSError: The disk is full, or failed.
        """
        if self.path(bundle).is_file():
            return self.path(bundle)
        if bundle.length_bytes > BUNDLE_MAX_BYTES:
            raise UntrustedError(
                f"a bundle may have {BUNDLE_MAX_BYTES} bytes,"
                f" {bundle.target} has {bundle.length_bytes}"
            )
        durable.make_dir(self.folder)
        self.remove_all_but(bundle)
        part = _Part(self.folder / f"{bundle.sha256}.part", bundle)
        part.reserve()
        self._fetch(part)
        part.finish(self.path(bundle))
        return self.path(bundle)

    def remove(self, bundle: BundleRef) -> None:
        """Remove all that was fetched of `bundle`."""
        for suffix in (".bundle", ".part", ".filled"):
            path = self.folder / f"{bundle.sha256}{suffix}"
            if path.exists():
                durable.unlink(path)

    def remove_all_but(self, kept: BundleRef | None) -> None:
        """Remove what was fetched of any other bundle."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if kept is None or not path.name.startswith(f"{kept.sha256}."):
                    durable.unlink(path)

    def _fetch(self, part: "_Part") -> None:
        """Ask for the bytes that are missing and keep them as they come."""
        if not part.missing:
            part.keep(iter(()))
            return
        headers = {"Range": f"bytes={part.filled}-"} if part.filled else {}
        url = bundle_url(self.repository_url, part.bundle)
        with self.web.get(url, headers) as answer:
            part.filled = _offset(answer, part)
            part.keep(answer.chunks(part.missing + 1, PULL_S))


class _Part:
    """A bundle that is being fetched."""

    def __init__(self, path: Path, bundle: BundleRef) -> None:
        """Find out how much of `bundle` was fetched before."""
        self.bundle = bundle
        self._path = path
        self._note = path.with_suffix(".filled")
        self.filled = self._read_filled()

    @property
    def missing(self) -> int:
        """Return how many bytes are still to come."""
        return self.bundle.length_bytes - self.filled

    def reserve(self) -> None:
        """Take the whole space now.

        Raises:
            OSError: There is not enough.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o644)
        try:
            os.posix_fallocate(descriptor, 0, self.bundle.length_bytes)
        finally:
            os.close(descriptor)

    def keep(self, chunks: Iterator[bytes]) -> None:
        """Write `chunks` behind what is there, and check the whole.

        Raises:
            UntrustedError: The bytes, or their number, are not those vouched for.
            UnavailableError: They end too soon; they are kept.
        """
        with self._path.open("r+b") as file:
            digest = _hash_front(file, self.filled)
            try:
                self._append(file, chunks, digest)
            finally:
                self._note_filled(file)
        if self.missing:
            raise UnavailableError(
                f"{self.bundle.target} broke off with {self.missing} bytes to come"
            )
        if digest.hexdigest() != self.bundle.sha256:
            raise self._foreign(f"SHA-256 {digest.hexdigest()}")

    def finish(self, path: Path) -> None:
        """Give the whole bundle its name."""
        durable.rename(self._path, path)
        durable.unlink(self._note)

    def _append(
        self, file: BinaryIO, chunks: Iterator[bytes], digest: "hashlib._Hash"
    ) -> None:
        noted = self.filled
        for chunk in chunks:
            if len(chunk) > self.missing:
                raise self._foreign("more bytes")
            file.write(chunk)
            digest.update(chunk)
            self.filled += len(chunk)
            if self.filled - noted >= CHECKPOINT_BYTES:
                self._note_filled(file)
                noted = self.filled

    def _foreign(self, came: str) -> UntrustedError:
        """Forget what came; it is not the bundle."""
        self.filled = 0
        durable.unlink(self._note)
        return UntrustedError(
            f"{self.bundle.target} must have {self.bundle.length_bytes} bytes and"
            f" SHA-256 {self.bundle.sha256}, the repository sent {came}"
        )

    def _note_filled(self, file: BinaryIO) -> None:
        """Write down how far the bytes have come, once they are on the disk."""
        file.flush()
        os.fsync(file.fileno())
        durable.write_file(self._note, str(self.filled).encode())

    def _read_filled(self) -> int:
        """Return how many bytes are there; 0 where that is not known."""
        try:
            filled = int(self._note.read_text()[:20])
            length_bytes = self._path.stat().st_size
        except (OSError, ValueError):
            return 0
        is_possible = length_bytes == self.bundle.length_bytes >= filled >= 0
        return filled if is_possible else 0


def _offset(answer: Answer, part: _Part) -> int:
    """Return which byte the answer's body begins with.

    Raises:
        UnavailableError: It is no part of the bundle.
    """
    if answer.status == _OK:
        return 0
    expected = f"bytes {part.filled}-{part.bundle.length_bytes - 1}/"
    came = answer.headers.get("Content-Range", "")
    if answer.status == _PARTIAL and came.startswith(expected):
        return part.filled
    raise UnavailableError(
        f"{part.bundle.target} must come whole or as {expected!r},"
        f" the repository answered {answer.status} {came!r}"
    )


def _hash_front(file: BinaryIO, length_bytes: int) -> "hashlib._Hash":
    """Hash what is there already; `file` stands behind it afterwards."""
    digest = hashlib.sha256()
    file.seek(0)
    left = length_bytes
    while left and (chunk := file.read(min(left, CHUNK_BYTES))):
        digest.update(chunk)
        left -= len(chunk)
    return digest
