"""How records lie in a segment, byte by byte, and how whole ones are found.

    segment   magic (7) · format (1) · mark (8) · limit (8) · frames
    frame     mark (8) · length (4) · CRC-32 of length and payload (4) · payload

Numbers are little-endian. The mark is drawn at random for each segment: it shows
where the next frame begins behind one that is torn, and nothing that a client
sends can pass for a frame, since no client knows it.

Source: docs/protocol.md, 12.1
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from edge_runtime.prediction_log.payload import Parts, length_of

MAGIC = b"\x89PHPLOG"
FORMAT = 1
LIMIT_MAX_BYTES = 64 * 1024**2
"""No segment that is read may be longer."""

_HEADER = struct.Struct("<7sB8sQ")
_FRAME_HEAD = struct.Struct("<8sII")
_LENGTH = struct.Struct("<I")
HEADER_BYTES = _HEADER.size
FRAME_HEAD_BYTES = _FRAME_HEAD.size
_MARK_BYTES = 8


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment begins with.

    Attributes:
        mark: What each of its frames begins with.
        limit_bytes: How long the segment may become; its writer has reserved it.
    """

    mark: bytes
    limit_bytes: int

    def encode(self) -> bytes:
        """Write it."""
        return _HEADER.pack(MAGIC, FORMAT, self.mark, self.limit_bytes)


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole record: where it begins, where it ends, and what it holds."""

    offset: int
    end: int
    payload: bytes


def new_header(limit_bytes: int) -> Header:
    """Make a header with a mark of its own."""
    return Header(os.urandom(_MARK_BYTES), limit_bytes)


def read_header(file: BinaryIO) -> Header | None:
    """Read a segment's header; None where it is torn or of another format."""
    head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        return None
    magic, number, mark, limit_bytes = _HEADER.unpack(head)
    if magic != MAGIC or number != FORMAT or limit_bytes > LIMIT_MAX_BYTES:
        return None
    return Header(mark, limit_bytes)


def encode_frame(mark: bytes, payload: Parts) -> Parts:
    """Frame one payload."""
    length = length_of(payload)
    return (_FRAME_HEAD.pack(mark, length, _checksum(length, payload)), *payload)


def read_frames(
    file: BinaryIO, header: Header, offset: int = HEADER_BYTES
) -> Iterator[Frame]:
    """Yield each whole frame from `offset` on; what is torn between is skipped."""
    while True:
        payload = _read_payload(file, header, offset)
        if payload is None:
            offset = _find_frame(file, header, offset + 1)
            if offset < 0:
                return
            continue
        end = offset + FRAME_HEAD_BYTES + len(payload)
        yield Frame(offset, end, payload)
        offset = end


def _checksum(length: int, payload: Parts) -> int:
    checksum = zlib.crc32(_LENGTH.pack(length))
    for part in payload:
        checksum = zlib.crc32(part, checksum)
    return checksum


def _read_payload(file: BinaryIO, header: Header, offset: int) -> bytes | None:
    file.seek(offset)
    head = file.read(FRAME_HEAD_BYTES)
    if len(head) < FRAME_HEAD_BYTES:
        return None
    mark, length, checksum = _FRAME_HEAD.unpack(head)
    if mark != header.mark or length > header.limit_bytes:
        return None
    payload = file.read(length)
    is_whole = len(payload) == length and _checksum(length, (payload,)) == checksum
    return payload if is_whole else None


def _find_frame(file: BinaryIO, header: Header, offset: int) -> int:
    """Return where the next whole frame begins, -1 for nowhere."""
    file.seek(offset)
    rest = file.read(header.limit_bytes)
    position = rest.find(header.mark)
    while position >= 0:
        if _read_payload(file, header, offset + position) is not None:
            return offset + position
        position = rest.find(header.mark, position + 1)
    return -1
