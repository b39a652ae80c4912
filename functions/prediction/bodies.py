"""Read a request's body under a limit, and take a coding off it.

Vertex AI promises to forward no `Content-Encoding`, so what came compressed is
uncompressed here; Triton's clients can be asked to send that.

Source: RFC 9110, 8.4 (codings; `deflate` is the zlib format)
"""

import zlib
from collections.abc import Mapping

from starlette.types import Receive

from functions.errors import EncodingError, OverloadedError
from packhorse.errors import LimitExceededError, MalformedError

RETRY_AFTER_S = 1.0
_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class GoneError(Exception):
    """The caller left before it had sent its body; nobody is there to be told."""


class Bodies:
    """Reads bodies; all that are only half here are together under a limit too."""

    def __init__(self, held_max_bytes: int) -> None:
        """Start with none.

        Args:
            held_max_bytes: Of all bodies together that are only half here. A
                small one, which comes at once, is never held up by them.
        """
        self._held_max_bytes = held_max_bytes
        self._held_bytes = 0

    async def read(
        self, receive: Receive, headers: Mapping[bytes, bytes], *, limit_bytes: int
    ) -> bytes:
        """Return a body, uncompressed.

        Raises:
            LimitExceededError: It is longer than `limit_bytes`; where its head
                says so, none of it was read.
            EncodingError: It came in another coding than gzip or deflate.
            MalformedError: It is not in the coding that its head names.
            OverloadedError: Too much came at once.
            GoneError: The caller left.
        """
        if int(headers.get(b"content-length", b"0")) > limit_bytes:
            raise too_long(limit_bytes)
        message = await receive()
        if message["type"] != "http.request":
            raise GoneError
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            body = await self._read_rest(receive, body, limit_bytes)
        if len(body) > limit_bytes:
            raise too_long(limit_bytes)
        coding = headers.get(b"content-encoding", b"").strip().lower()
        if coding and coding != b"identity":
            return uncompressed(body, coding, limit_bytes=limit_bytes)
        return body

    async def _read_rest(
        self, receive: Receive, begun: bytes, limit_bytes: int
    ) -> bytes:
        chunks, length, is_more = [begun], len(begun), True
        self._held_bytes += length
        try:
            while is_more:
                message = await receive()
                if message["type"] != "http.request":
                    raise GoneError
                chunks.append(message.get("body", b""))
                is_more = message.get("more_body", False)
                length += len(chunks[-1])
                self._hold(len(chunks[-1]))
                if length > limit_bytes:
                    raise too_long(limit_bytes)
        finally:
            self._held_bytes -= length
        return b"".join(chunks)

    def _hold(self, length: int) -> None:
        self._held_bytes += length
        if self._held_bytes > self._held_max_bytes:
            raise OverloadedError(
                "too much is coming in at once; ask again in a moment",
                retry_after_s=RETRY_AFTER_S,
            )


def too_long(limit_bytes: int) -> LimitExceededError:
    """Return the refusal of a body that is longer than the endpoint takes."""
    return LimitExceededError(f"the body must be at most {limit_bytes} bytes long")


def uncompressed(body: bytes, coding: bytes, *, limit_bytes: int) -> bytes:
    """Take a coding off; never more than one byte beyond the limit is made.

    Raises:
        EncodingError: It is another coding than gzip or deflate.
        MalformedError: The body is not in it, or ends early.
        LimitExceededError: It would be longer than `limit_bytes`.
    """
    bits = _WINDOW_BITS.get(coding)
    if bits is None:
        raise EncodingError(
            f"a body may be compressed with gzip or deflate, not "
            f"{coding[:40].decode('latin-1')!r}"
        )
    decoder = zlib.decompressobj(bits)
    try:
        plain = decoder.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise _broken(coding) from error
    if len(plain) > limit_bytes:
        raise too_long(limit_bytes)
    if not decoder.eof or decoder.unused_data:
        raise _broken(coding)
    return plain


def _broken(coding: bytes) -> MalformedError:
    return MalformedError(f"the body is not {coding.decode('latin-1')}, or ends early")
