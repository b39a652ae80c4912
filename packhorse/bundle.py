"""The archive of one variant of one release.

A plain tar in which every byte follows from the manifest: the manifest first,
then the members in its order, each header the one that this module would write.
Reading compares instead of interpreting, so there is no header that could lie,
no link, no path, and nothing to expand.

Source: docs/protocol.md, 1 "The bundle"; POSIX.1-1988, ustar
"""

import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from packhorse.errors import LimitExceededError, MalformedError
from packhorse.manifest import (
    MANIFEST_FILE,
    MANIFEST_MAX_BYTES,
    Manifest,
    Member,
    decode_manifest,
    encode_manifest,
)

BLOCK_BYTES = 512
END = bytes(2 * BLOCK_BYTES)
CHUNK_BYTES = 262_144
BUNDLE_MAX_BYTES = 4 * 1024**3
"""Twice what ONNX allows in one protobuf, for models with external data."""

_SIZE = slice(124, 136)


def bundle_length_bytes(manifest: Manifest) -> int:
    """Return the length of the bundle that `manifest` describes."""
    lengths = [len(encode_manifest(manifest))]
    lengths += [member.length_bytes for member in manifest.members]
    return sum(BLOCK_BYTES + n + _padding(n) for n in lengths) + len(END)


def write_bundle(
    manifest: Manifest, members: Mapping[str, BinaryIO], out: BinaryIO
) -> None:
    """Write a bundle, the same bytes for the same input.

    Args:
        manifest: Names every member, its length and its hash.
        members: One stream a member, read once from its current position.
        out: Written in order, never read.

    Raises:
        MalformedError: A stream does not hold what the manifest says.
    """
    body = encode_manifest(manifest)
    out.write(_header(MANIFEST_FILE, len(body)) + body + bytes(_padding(len(body))))
    for member in manifest.members:
        out.write(_header(member.name, member.length_bytes))
        out.writelines(_checked(members[member.name], member))
        out.write(bytes(_padding(member.length_bytes)))
    out.write(END)


class BundleReader:
    """A bundle, read once from a stream."""

    def __init__(self, stream: BinaryIO, *, limit_bytes: int) -> None:
        """Read the manifest; `read_bundle` says what can be wrong."""
        self._stream = stream
        body = self._read_manifest()
        self.manifest = decode_manifest(body)
        if encode_manifest(self.manifest) != body:
            raise MalformedError("a bundle's manifest must be canonical JSON")
        length_bytes = bundle_length_bytes(self.manifest)
        if length_bytes > limit_bytes:
            raise LimitExceededError(
                f"a bundle may be {limit_bytes} bytes long here, "
                f"this one says it is {length_bytes}"
            )

    def members(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield each member with its bytes, to be used up before the next.

        Raises:
            MalformedError: A header, length, hash, padding or the end is not what
                the manifest says. What was yielded before is not to be used then.
        """
        for member in self.manifest.members:
            header = _read_exactly(self._stream, BLOCK_BYTES)
            if header != _header(member.name, member.length_bytes):
                raise MalformedError(
                    f"the bundle must hold {member.name!r} next, as its manifest says"
                )
            yield member, _checked(self._stream, member)
            self._skip_padding(member.length_bytes)
        if _read_exactly(self._stream, len(END)) != END or self._stream.read(1):
            raise MalformedError("the bundle goes on after its last member")

    def _read_manifest(self) -> bytes:
        header = _read_exactly(self._stream, BLOCK_BYTES)
        length_bytes = _declared_length(header)
        if length_bytes > MANIFEST_MAX_BYTES:
            raise LimitExceededError(
                f"a manifest may be {MANIFEST_MAX_BYTES} bytes long, "
                f"this one says it is {length_bytes}"
            )
        if header != _header(MANIFEST_FILE, length_bytes):
            raise MalformedError(f"a bundle must begin with {MANIFEST_FILE}")
        body = _read_exactly(self._stream, length_bytes)
        self._skip_padding(length_bytes)
        return body

    def _skip_padding(self, length_bytes: int) -> None:
        count = _padding(length_bytes)
        if _read_exactly(self._stream, count) != bytes(count):
            raise MalformedError("the bundle's padding must be zero")


def read_bundle(stream: BinaryIO, *, limit_bytes: int) -> BundleReader:
    """Open a bundle for reading.

    Args:
        stream: Read once, from its current position to its end.
        limit_bytes: Longest bundle accepted, in bytes.

    Raises:
        LimitExceededError: It says that it is longer than `limit_bytes`.
        MalformedError: It is no bundle.
    """
    return BundleReader(stream, limit_bytes=limit_bytes)


def _checked(stream: BinaryIO, member: Member) -> Iterator[bytes]:
    """Yield the member's bytes, and fail at their end if they are the wrong ones."""
    digest = hashlib.sha256()
    left = member.length_bytes
    while left:
        chunk = stream.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise MalformedError(f"{member.name!r} ends {left} bytes too soon")
        left -= len(chunk)
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != member.sha256:
        raise MalformedError(
            f"{member.name!r} has not the hash that the manifest names"
        )


def _read_exactly(stream: BinaryIO, count: int) -> bytes:
    body = bytearray()
    while len(body) < count:
        chunk = stream.read(count - len(body))
        if not chunk:
            raise MalformedError("the bundle ends too soon")
        body += chunk
    return bytes(body)


def _header(name: str, length_bytes: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = length_bytes
    return entry.tobuf(tarfile.USTAR_FORMAT)


def _declared_length(header: bytes) -> int:
    digits = header[_SIZE].rstrip(b"\0 ")
    if not digits or not set(digits) <= set(b"01234567"):
        raise MalformedError(f"a bundle must begin with {MANIFEST_FILE}")
    return int(digits, 8)


def _padding(length_bytes: int) -> int:
    return -length_bytes % BLOCK_BYTES
