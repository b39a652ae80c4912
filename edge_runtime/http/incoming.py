"""What one client has sent, on its way to whole requests.

The head is read by llhttp; a body of known length is received straight into its
own buffer. Limits hold while reading: a body that says it is too long is refused
before its first byte, one that turns out too long at the byte where it does.
"""

from collections.abc import Callable
from http import HTTPStatus

from edge_runtime.http.chunked import ChunkedBody
from edge_runtime.http.head import HEAD_MAX_BYTES, Head, HeadMemory, HttpError
from edge_runtime.http.replies import Body, Reply, error_reply, unavailable
from edge_runtime.http.sized_body import Allowance, SizedBody

BUFFER_BYTES = 2 * HEAD_MAX_BYTES
"""Read at once; larger than a head, so a head that fills it is too long."""

_END = b"\r\n\r\n"
_END_BYTES = 4
_HEAD = Head(method=b"HEAD")
_HEAD_START_BYTES = 7
"""Of "HEAD " with the empty line that may stand before it."""


class RefusedError(Exception):
    """A request that has no right to send its body."""

    def __init__(self, reply: Reply) -> None:
        """Keep what the client is told."""
        super().__init__(reply.status)
        self.reply = reply


def refusal_of(error: HttpError) -> Reply:
    """Answer a request that was refused before anybody saw its body."""
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return unavailable(error.sentence)
    return error_reply(error.status, error.sentence)


class Incoming:
    """The reading side of one connection.

    Attributes:
        head: Of the request whose body is arriving.
        fill: Bytes in the buffer: of a head, a chunk, or requests that came early.
        spare: Where bytes may be written that nobody will read.
    """

    def __init__(
        self,
        heads: HeadMemory,
        allowance: Allowance,
        body_max_bytes: int,
        check: Callable[[Head], Reply | None],
    ) -> None:
        """Wait for the first request.

        Args:
            heads: Reads heads.
            allowance: What bodies take memory from, until `give_back`.
            body_max_bytes: Length of the longest body.
            check: Returns the refusal of a request by its head.
        """
        self._heads = heads
        self._allowance = allowance
        self._body_max_bytes = body_max_bytes
        self._check = check
        self._buffer = bytearray(BUFFER_BYTES)
        self.spare = memoryview(self._buffer)
        self.fill = 0
        self.head: Head | None = None
        self._body: SizedBody | None = None
        self._chunked: ChunkedBody | None = None
        self._held = 0

    @property
    def is_full(self) -> bool:
        """Whether the buffer has no room left."""
        return self.fill == BUFFER_BYTES

    def room(self) -> memoryview:
        """Return where the next bytes belong.

        Raises:
            HttpError: There is no memory for more of the body.
        """
        if self._body is None or self._body.is_whole:
            return self.spare[self.fill :] if self.fill else self.spare
        room = self._body.room()
        self._hold(self._body.held_bytes)
        return room

    def received(self, count: int) -> None:
        """Count bytes that were written into the room."""
        if self._body is None or self._body.is_whole:
            self.fill += count
        elif early := self._body.received(count):
            self.fill = len(early)
            self._buffer[: self.fill] = early

    def request(self) -> tuple[Head, Body] | None:
        """Return the next request; None while it is not whole.

        Raises:
            HttpError: What came is no request, or more than is taken.
            RefusedError: Its client may not ask.
        """
        while self._body is None and self.fill:
            if self._chunked is not None:
                used, is_whole = self._chunked.feed(self.spare[: self.fill])
                self._drop(used)
                self._hold(len(self._chunked.body))
                return self._whole(self._chunked.body) if is_whole else None
            end = self._buffer.find(_END, 0, self.fill) + _END_BYTES
            if not _END_BYTES <= end <= HEAD_MAX_BYTES:
                self._check_length(end)
                return None
            head = self._take_head(end)
            body_end = end + head.length_bytes
            if body_end <= self.fill and not head.is_chunked:
                body = bytes(self.spare[end:body_end])
                self._drop(body_end)
                return head, body
            self._begin_body(head, end)
        if self._body is not None and self._body.is_whole:
            return self._whole(self._body.body)
        return None

    def hold_more(self, count: int) -> None:
        """Take memory for a request that was returned and is not answered yet.

        Raises:
            HttpError: There is too little.
        """
        self._hold(self._held + count)

    def drop_body(self) -> None:
        """Let go of a body; its memory is held until `give_back`."""
        self.head = self._body = self._chunked = None

    def give_back(self) -> None:
        """Give the memory of bodies back."""
        if self._held:
            self._allowance.give_back(self._held)
            self._held = 0

    def refused_head(self) -> Head | None:
        """Return the head under way; of an unread one, whether it is HEAD's counts.

        Source: RFC 9110, 9.3.2
        """
        start = bytes(self.spare[: min(self.fill, _HEAD_START_BYTES)])
        if self.head is None and start.lstrip(b"\r\n").startswith(b"HEAD "):
            return _HEAD
        return self.head

    def _check_length(self, end: int) -> None:
        """Refuse a head that is too long, whether or not its end has come."""
        if max(end, self.fill) >= HEAD_MAX_BYTES:
            is_line = self._buffer.find(b"\r\n", 0, HEAD_MAX_BYTES) < 0
            status = 414 if is_line else 431
            raise HttpError(status, f"a head may be {HEAD_MAX_BYTES} bytes long")

    def _take_head(self, end: int) -> Head:
        """Read the head in the buffer, and refuse what its body would be too much."""
        head = self._heads.read(bytes(self.spare[:end]))
        if (refused := self._check(head)) is not None:
            raise RefusedError(refused)
        if head.length_bytes > self._body_max_bytes:
            raise HttpError(
                413,
                f"a body may be {self._body_max_bytes} bytes long,"
                f" this one says it is {head.length_bytes}",
            )
        return head

    def _begin_body(self, head: Head, end: int) -> None:
        """Make room for a body, with what has come of it."""
        self.head = head
        if head.is_chunked:
            self._drop(end)
            self._chunked = ChunkedBody(self._body_max_bytes)
        else:
            first = self.spare[end : self.fill]
            json_bytes = head.envelope.json_bytes or 0
            self._body = SizedBody(head.length_bytes, first, json_bytes)
            self.fill = 0

    def _whole(self, body: Body) -> tuple[Head, Body]:
        """Return a request whose body has come."""
        head = self.head
        assert head is not None  # noqa: S101 - a body follows its head
        self.drop_body()
        return head, body

    def _hold(self, count: int) -> None:
        """Take what a body has grown by from the allowance."""
        self._allowance.take(count - self._held)
        self._held = count

    def _drop(self, count: int) -> None:
        """Forget the first bytes of the buffer."""
        left = self.fill - count
        if left:
            self._buffer[:left] = self._buffer[count : self.fill]
        self.fill = left
