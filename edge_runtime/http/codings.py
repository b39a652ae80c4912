"""Content codings: compressed requests in, compressed answers out.

A compressed body is inflated piece by piece into one growing buffer, and the
limit on its length holds for every piece: a bomb costs the limit, never more.
gzip may have several members, one after the other. `deflate` is zlib's format;
raw deflate, which some clients send under that name, is understood as well.

Answers are compressed where a coding was the client's one wish (`Envelope`).
Errors never are: tritonclient reads them without looking at their coding.

Source: RFC 9110, 8.4.1, 12.5.3; RFC 1950, 2.2; RFC 1952, 2.2
"""

import zlib

from edge_runtime.errors import UnknownCodingError
from edge_runtime.http.replies import Body, Reply
from packhorse.errors import LimitExceededError, MalformedError

PIECE_BYTES = 64 * 1024
"""Compressed bytes looked at in one step: zlib copies what it leaves of them."""

ROOM_BYTES = 256 * 1024
"""Inflated bytes taken in one step, and so the memory beside the body itself."""

MEMBERS_MAX = 1024
"""Members of one gzip body: empty ones cost time and give nothing. So many has a
body of 64 MiB that a block compressor wrote, with 64 KiB in each."""

CODED_MIN_BYTES = 256
"""Shorter answers fit into a packet as they are, and hardly shrink."""

LEVEL = 1
"""The quickest: an answer's numbers shrink little, and the gateway's CPU is small."""

_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_RAW_BITS = -15
_OK = 200


def inflate(body: Body, coding: str, limit_bytes: int) -> bytearray:
    """Take the content coding off a request's body.

    Args:
        body: As it came.
        coding: As `Content-Encoding` names it, in lower case.
        limit_bytes: Length of the longest body that may come out.

    Raises:
        UnknownCodingError: The coding is unknown here, or several are named.
        LimitExceededError: The body would be longer than its limit.
        MalformedError: It is not what its coding says, is cut short, or something
            follows it.
    """
    data = memoryview(body)
    bits = _window_bits(coding, data)
    inflated = bytearray()
    try:
        for _ in range(MEMBERS_MAX):
            data = data[_inflate_member(data, bits, inflated, limit_bytes) :]
            if not data:
                return inflated
            if bits != _BITS["gzip"]:
                raise MalformedError(f"something follows the end of the {coding} body")
    except zlib.error as error:
        raise MalformedError(f"the body is not what {coding} makes: {error}") from error
    raise LimitExceededError(f"a gzip body may have {MEMBERS_MAX} members")


def _window_bits(coding: str, data: memoryview) -> int:
    """Return what zlib calls the format."""
    if coding not in _BITS:
        raise UnknownCodingError(
            f"Content-Encoding: expected gzip or deflate, came {coding[:40]!r}"
        )
    if coding == "deflate" and not _is_zlib(bytes(data[:2])):
        return _RAW_BITS
    return _BITS[coding]


def _is_zlib(start: bytes) -> bool:
    """Say whether a body starts with the two bytes that zlib's format starts with."""
    is_deflate = start[:1] != b"" and start[0] & 0x8F == 0x08  # noqa: PLR2004 - RFC 1950, 2.2
    return is_deflate and int.from_bytes(start, "big") % 31 == 0


def _inflate_member(
    data: memoryview, bits: int, inflated: bytearray, limit_bytes: int
) -> int:
    """Inflate what `data` starts with; return its length before."""
    member = zlib.decompressobj(bits)
    for start in range(0, len(data), PIECE_BYTES):
        piece: Body = data[start : start + PIECE_BYTES]
        end = start + len(piece)
        is_full = True
        while is_full and not member.eof:
            room = min(ROOM_BYTES, limit_bytes - len(inflated) + 1)
            got = member.decompress(piece, room)
            inflated += got
            if len(inflated) > limit_bytes:
                raise LimitExceededError(
                    f"a body may be {limit_bytes} bytes long once it is inflated"
                )
            piece = member.unconsumed_tail
            is_full = len(got) == room
        if member.eof:
            return end - len(member.unused_data)
    raise MalformedError("the coded body ends before its end")


def deflate(reply: Reply, coding: str) -> Reply:
    """Compress an answer, where that was wished and makes it shorter.

    Args:
        reply: Any answer; errors stay as they are.
        coding: "gzip", "deflate" or "".
    """
    if not coding or reply.status != _OK or len(reply.body) < CODED_MIN_BYTES:
        return reply
    body = zlib.compress(reply.body, LEVEL, _BITS[coding])
    if len(body) >= len(reply.body):
        return reply
    coded = (("Content-Encoding", coding), ("Vary", "Accept-Encoding"))
    return reply._replace(body=body, headers=(*reply.headers, *coded))
