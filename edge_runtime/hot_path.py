"""One client's connection: bytes in, whole requests on, answers out.

The head is read by llhttp; a body of known length is received straight into its
own buffer. Limits hold while reading: a body that says it is too long is refused
before its first byte, one that turns out too long at the byte where it does. A
connection is refused once: the answer says `Connection: close`, what the
client still sends is read and thrown away for a moment, so that it sees the
answer instead of a reset.

Requests on one connection are answered one after the other, in order. Who
answers, and in which thread, is the server's business (`server.py`).
"""

import asyncio
from typing import Protocol, cast

from edge_runtime.http_chunked import ChunkedBody
from edge_runtime.http_head import HEAD_MAX_BYTES, Head, HeadMemory, HttpError
from edge_runtime.replies import Body, Reply, error_reply, render_head
from edge_runtime.settings import Limits
from edge_runtime.sized_body import Allowance, SizedBody

BUFFER_BYTES = 2 * HEAD_MAX_BYTES
"""Read at once; larger than a head, so a head that fills it is too long."""

LINGER_S = 2.0
"""Time that a refused client gets to read why."""

COPIED_MAX_BYTES = 16 * 1024
"""Copying so much is cheaper than handing the kernel two pieces."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NEVER = float("inf")


class RequestTaker(Protocol):
    """What a connection needs of the server; `Server` is it, tests are another."""

    limits: Limits
    heads: HeadMemory
    allowance: Allowance
    now_s: float
    date: bytes
    is_draining: bool

    def check(self, head: Head) -> Reply | None:
        """Return the refusal of a request that has no right to send its body."""

    def take(self, connection: "Connection", head: Head, body: Body) -> None:
        """Answer a request by `connection.answer`, now or later."""

    def opened(self, connection: "Connection") -> bool:
        """Count a connection in; False when there are too many."""

    def closed(self, connection: "Connection") -> None:
        """Count a connection out."""


class Connection(asyncio.BufferedProtocol):
    """One client's connection, from accept to close."""

    def __init__(self, server: RequestTaker) -> None:
        """Wait for the first request."""
        self.deadline_s = _NEVER
        self.is_busy = False
        self._server = server
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._fill = 0
        self._head: Head | None = None
        self._body: SizedBody | None = None
        self._held = 0
        self._chunked: ChunkedBody | None = None
        self._is_over = False
        self._is_last = False
        self._is_advancing = False
        self._is_unread = False
        self._is_paused = False
        self._transport: asyncio.Transport

    @property
    def is_idle(self) -> bool:
        """Whether the client has nothing under way."""
        return not (self.is_busy or self._fill or self._head or self._is_over)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transport has the methods of asyncio's, but not its ancestry.
        self._transport = cast("asyncio.Transport", transport)
        self.deadline_s = self._server.now_s + self._server.limits.idle_s
        if not self._server.opened(self):
            self.refuse(error_reply(503, "too many connections are open"))

    def connection_lost(self, _error: Exception | None) -> None:
        """End."""
        self._is_over = True
        self._forget_body()
        self._server.closed(self)

    def get_buffer(self, _hint: int) -> memoryview:
        """Say where the next bytes belong."""
        if self._is_over:
            return self._view
        if self._body is None:
            return self._view[self._fill :]
        room = self._body.room()
        try:
            self._hold(len(self._body.body))
        except HttpError as error:
            self.refuse(error_reply(error.status, error.sentence))
            return self._view
        return room

    def buffer_updated(self, count: int) -> None:
        """Take the bytes that came."""
        if self._is_over:
            return
        if self._body is not None:
            self._body.received(count)
            if self._body.is_whole:
                self._hand_over(self._body.body)
            return
        if not self._fill and self._head is None and not self.is_busy:
            self.deadline_s = self._server.now_s + self._server.limits.head_s
        self._fill += count
        self._advance()

    def eof_received(self) -> bool:
        """Answer what is under way, then close; a half request is dropped."""
        self._is_last = True
        # Under TLS nobody can close one side only.
        return self.is_busy and not self._is_over and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """The client does not read: stop reading from it, and wait so long."""
        self.deadline_s = self._server.now_s + self._server.limits.write_s
        self._is_unread = True
        self._pace_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.deadline_s = self._next_deadline_s()
        self._is_unread = False
        self._pace_reading()

    # What the server calls.

    def answer(self, reply: Reply, head: Head) -> None:
        """Send the answer to the request that `head` began."""
        self.is_busy = False
        self._forget_body()
        if self._is_over:
            return
        is_last = self._is_last and not self._fill
        closes = not head.keeps_alive or is_last or self._server.is_draining
        self.deadline_s = self._next_deadline_s()
        self._send(reply, closes=closes, head=head)
        if closes and self._transport.can_write_eof():
            self._end()
        elif closes:
            self.close()  # TLS has an end of its own, and everything was read
        elif self._fill and not self._is_advancing:
            self._advance()
            if self._is_last and not self.is_busy and not self._is_over:
                self.close()

    def hold_more(self, count: int) -> bool:
        """Take memory for the request under way; False where there is too little."""
        if self._is_over:
            return False  # nobody would give it back
        try:
            self._hold(self._held + count)
        except HttpError:
            return False
        return True

    def refuse(self, reply: Reply) -> None:
        """Answer with an error and close: what follows cannot be trusted."""
        if self._is_over:
            return
        self._send(reply, closes=True)
        self._end()

    def expire(self) -> None:
        """Act on a deadline that passed."""
        if self._is_over or self._transport.get_write_buffer_size():
            self._transport.abort()
        elif self.is_idle:
            self.close()
        else:
            self.refuse(error_reply(408, "the request took too long to arrive"))

    def close(self) -> None:
        """Close after what was written is sent."""
        self._is_over = True
        self.deadline_s = self._server.now_s + LINGER_S
        self._transport.close()

    def abort(self) -> None:
        """Cut the connection off."""
        self._is_over = True
        self._transport.abort()

    def _advance(self) -> None:
        """Take as many whole requests out of the buffer as there are."""
        self._is_advancing = True
        try:
            while self._fill and not self.is_busy and not self._is_over:
                if not self._take_piece():
                    break
        except HttpError as error:
            self.refuse(error_reply(error.status, error.sentence))
        finally:
            self._is_advancing = False
        self._pace_reading()

    def _take_piece(self) -> bool:
        """Take a head, or a piece of a chunked body; False when more must come."""
        if self._chunked is None:
            return self._take_head()
        used, is_whole = self._chunked.feed(self._view[: self._fill])
        self._drop(used)
        self._hold(len(self._chunked.body))
        if is_whole:
            self._hand_over(self._chunked.body)
        return True

    def _take_head(self) -> bool:
        """Take a head from the buffer, and whatever of its body is there."""
        end = self._buffer.find(b"\r\n\r\n", 0, self._fill) + 4
        if end > HEAD_MAX_BYTES or (end < 4 and self._fill >= HEAD_MAX_BYTES):  # noqa: PLR2004
            is_line = self._buffer.find(b"\r\n", 0, HEAD_MAX_BYTES) < 0
            status = 414 if is_line else 431
            raise HttpError(status, f"a head may be {HEAD_MAX_BYTES} bytes long")
        if end < 4:  # noqa: PLR2004 - the empty line is not there yet
            return False
        head = self._server.heads.read(bytes(self._view[:end]))
        if (refused := self._server.check(head)) is not None:
            self.refuse(refused)
            return False
        limit_bytes = self._server.limits.body_max_bytes
        if head.length_bytes > limit_bytes:
            raise HttpError(
                413,
                f"a body may be {limit_bytes} bytes long,"
                f" this one says it is {head.length_bytes}",
            )
        self._head = head
        if head.is_chunked:
            self._drop(end)
            self._chunked = ChunkedBody(limit_bytes)
        elif self._fill - end >= head.length_bytes:
            body = bytes(self._view[end : end + head.length_bytes])
            self._drop(end + head.length_bytes)
            self._hand_over(body)
            return True
        else:
            first = self._view[end : self._fill]
            self._body = SizedBody(head.length_bytes, first, head.json_bytes)
            self._fill = 0
        self._await_body(head)
        return True

    def _await_body(self, head: Head) -> None:
        self.deadline_s = self._server.now_s + self._server.limits.body_s
        if head.expects_continue:
            self._transport.write(_CONTINUE)

    def _hold(self, count: int) -> None:
        """Take what a body has grown by from the allowance."""
        self._server.allowance.take(count - self._held)
        self._held = count

    def _forget_body(self) -> None:
        """Let go of a body; its memory is held until its request is answered."""
        self._head = self._body = self._chunked = None
        if not self.is_busy:
            self._server.allowance.give_back(self._held)
            self._held = 0

    def _drop(self, count: int) -> None:
        """Forget the first bytes of the buffer."""
        left = self._fill - count
        if left:
            self._buffer[:left] = self._buffer[count : self._fill]
        self._fill = left

    def _send(self, reply: Reply, *, closes: bool, head: Head | None = None) -> None:
        """Write an answer; a long body is not copied to stand behind its head."""
        traceparent = head.traceparent if head is not None else ""
        lines = render_head(
            reply, self._server.date, closes=closes, traceparent=traceparent
        )
        if head is not None and head.method == b"HEAD":
            self._transport.write(lines)
        elif len(reply.body) < COPIED_MAX_BYTES:
            self._transport.write(lines + reply.body)
        else:
            self._transport.writelines((lines, reply.body))

    def _hand_over(self, body: Body) -> None:
        """Let the server answer a whole request."""
        head = self._head
        assert head is not None  # noqa: S101 - a body follows its head
        self.is_busy, self.deadline_s = True, _NEVER
        self._forget_body()
        self._server.take(self, head, body)

    # The end.

    def _end(self) -> None:
        """Send nothing more; read on for a moment so that no reset goes out."""
        self._is_over = True
        self._forget_body()
        self.deadline_s = self._server.now_s + LINGER_S
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._pace_reading()

    def _pace_reading(self) -> None:
        """Read only where there is room, and a client that takes its answers."""
        is_full = self._fill == BUFFER_BYTES and not self._is_over
        pauses = is_full or self._is_unread
        if pauses == self._is_paused or self._transport.is_closing():
            return
        self._is_paused = pauses
        if pauses:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _next_deadline_s(self) -> float:
        """Return when the next request must have begun, or its head be whole."""
        limits = self._server.limits
        return self._server.now_s + (limits.head_s if self._fill else limits.idle_s)
