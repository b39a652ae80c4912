"""Fetch a bundle: resumed where it broke off, checked while it streams.

    <state>/downloads/<sha256>.part     space reserved in full, filled from the front
    <state>/downloads/<sha256>.filled   how far, flushed together with the bytes
    <state>/downloads/<sha256>.bundle   whole, and what the release role vouches for

The space is reserved before the first byte, so a disk that is too small says so
at once and leaves the slots alone; what was reserved is given back, so that there
is room to tell. Nothing here lies in TUF's folders.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime import durable
from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.pace import Pace
from edge_runtime.agent.network.web import CHUNK_BYTES, Answer, Web
from edge_runtime.agent.trust.trust import bundle_url
from edge_runtime.durable import ReservedFile
from packhorse.assignment import BundleRef
from packhorse.bundle import BUNDLE_MAX_BYTES
from packhorse.errors import UntrustedError

CHECKPOINT_BYTES = 4 * 1024 * 1024
"""At most so much is fetched again after a power cut."""

PULL_S = 900.0
"""Longest time of one attempt; the next goes on where it ended. Between two the
agent looks at the truth, so a withdrawal is heard of on the slowest line."""

FREE_MIN_BYTES = 8 * 1024 * 1024
"""Disk that a download leaves to others: reports, trust and memory need it."""

_OK = 200
_PARTIAL = 206


@dataclass(frozen=True, slots=True)
class Downloads:
    """The folder that bundles are fetched into.

    Attributes:
        pace: How fast; as fast as they come where nobody says.
        checkpoint: Called for each piece that comes; it may stop the download, and
            what came is kept.
        locate: Returns the URL of a bundle.
    """

    folder: Path
    repository_url: str
    web: Web
    pace: Pace = field(default_factory=Pace)
    checkpoint: Callable[[], None] = lambda: None
    locate: Callable[[str, BundleRef], str] = bundle_url

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
        file = part.reserve()
        try:
            self._fetch(part, file)
        finally:
            file.close()
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

    def _fetch(self, part: "_Part", file: ReservedFile) -> None:
        """Ask for the bytes that are missing and keep them as they come."""
        if not part.missing:
            part.keep(file, iter(()))
            return
        headers = {"Range": f"bytes={part.filled}-"} if part.filled else {}
        url = self.locate(self.repository_url, part.bundle)
        with self.web.get(url, headers) as answer:
            part.filled = _offset(answer, part)
            chunks = answer.chunks(part.missing + 1, PULL_S)
            part.keep(file, self._watch(self.pace.hold_back(chunks)))

    def _watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self.checkpoint()


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

    def reserve(self) -> ReservedFile:
        """Take the whole space now, or none of it.

        Raises:
            OSError: There is not enough.
        """
        self._check_room()
        try:
            return ReservedFile(self._path, self.bundle.length_bytes)
        except OSError:
            # What it got would be missing where the failure is to be reported.
            durable.unlink(self._note)
            durable.unlink(self._path)
            raise

    def keep(self, file: ReservedFile, chunks: Iterator[bytes]) -> None:
        """Write `chunks` behind what is there, and check the whole.

        Raises:
            UntrustedError: The bytes, or their number, are not those vouched for.
            UnavailableError: They end too soon; they are kept.
        """
        digest = self._hash_front()
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

    def _hash_front(self) -> "hashlib._Hash":
        """Hash what is there already."""
        digest = hashlib.sha256()
        left = self.filled
        with self._path.open("rb") as file:
            while left and (chunk := file.read(min(left, CHUNK_BYTES))):
                digest.update(chunk)
                left -= len(chunk)
        return digest

    def _append(
        self, file: ReservedFile, chunks: Iterator[bytes], digest: "hashlib._Hash"
    ) -> None:
        noted = self.filled
        for chunk in chunks:
            if len(chunk) > self.missing:
                raise self._foreign("more bytes")
            file.write(self.filled, chunk)
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

    def _check_room(self) -> None:
        """Refuse to fill the disk up to its last byte.

        Raises:
            OSError: It has less room than the bundle and all else need.
        """
        disk = os.statvfs(self._path.parent)
        free_bytes = disk.f_bavail * disk.f_frsize
        needed_bytes = self.bundle.length_bytes + FREE_MIN_BYTES
        taken_bytes = _taken_bytes(self._path)
        if free_bytes + taken_bytes < needed_bytes:
            raise OSError(
                errno.ENOSPC,
                f"the disk has {free_bytes + taken_bytes} bytes for a bundle of"
                f" {self.bundle.length_bytes}; {FREE_MIN_BYTES} are kept for the rest",
            )

    def _note_filled(self, file: ReservedFile) -> None:
        """Write down how far the bytes have come, once they are on the disk."""
        file.flush()
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


def _taken_bytes(path: Path) -> int:
    """Return the space that the file at `path` has already; 0 where there is none."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0
