"""A chunked request body, put together within a limit.

Line ends are CRLF and nothing else; extensions and trailers are read past,
within limits of their own.

Source: RFC 9112, 7.1
"""

import re

from edge_runtime.http.head import HttpError

LINE_MAX_BYTES = 1024
"""A size line with its extensions, or one trailer."""
TRAILERS_MAX = 32

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
"""Source: RFC 9112, 5 and 7.1"""


class ChunkedBody:
    """Takes a body's bytes as they come; `feed` says when it is whole."""

    def __init__(self, limit_bytes: int) -> None:
        """Start an empty body that may grow to `limit_bytes`."""
        self.body = bytearray()
        self._limit_bytes = limit_bytes
        self._line = bytearray()
        self._left = 0
        self._state = self._take_size
        self._trailers = 0
        self._is_whole = False

    def feed(self, data: memoryview) -> tuple[int, bool]:
        """Take bytes from the connection.

        Returns:
            How many bytes were used, and whether the body is whole. Bytes after
            the body's end are not used: they begin the next request.

        Raises:
            HttpError: The body is no chunked body, or longer than its limit.
        """
        used = 0
        while used < len(data) and not self._is_whole:
            if self._left:
                used += self._take_data(data[used:])
            else:
                used += self._take_line(data[used:])
        return used, self._is_whole

    def _take_data(self, data: memoryview) -> int:
        """Take the bytes of a chunk."""
        count = min(self._left, len(data))
        self.body += data[:count]
        self._left -= count
        if not self._left:
            self._state = self._take_end
        return count

    def _take_line(self, data: memoryview) -> int:
        """Take bytes up to the next line feed, and act on the line once whole."""
        piece = bytes(data[: LINE_MAX_BYTES + 2])
        end = piece.find(b"\n") + 1
        self._line += piece[: end or len(piece)]
        if end:
            line, self._line = bytes(self._line), bytearray()
            if not line.endswith(b"\r\n"):
                raise HttpError(400, "a chunked body's lines must end in CRLF")
            self._state(line[:-2])
        elif len(self._line) > LINE_MAX_BYTES:
            raise HttpError(400, f"a chunk's line may be {LINE_MAX_BYTES} bytes long")
        return end or len(piece)

    def _take_size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise HttpError(400, "a chunk must begin with its size in hex")
        self._left = int(match.group(1), 16)
        if len(self.body) + self._left > self._limit_bytes:
            raise HttpError(413, f"a body may be {self._limit_bytes} bytes long")
        if not self._left:
            self._state = self._take_trailer

    def _take_end(self, line: bytes) -> None:
        if line:
            raise HttpError(400, "a chunk is longer than its size")
        self._state = self._take_size

    def _take_trailer(self, line: bytes) -> None:
        self._trailers += 1
        if self._trailers > TRAILERS_MAX:
            raise HttpError(400, f"a body may have {TRAILERS_MAX} trailers")
        if line and _TRAILER.fullmatch(line) is None:
            raise HttpError(400, "a trailer must be a name, a colon and a value")
        self._is_whole = not line
