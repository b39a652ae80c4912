"""One client's connection: bytes in, whole requests on, answers out.

What is read is `Incoming`'s business, and what is written is `Outgoing`'s; here is
when either happens. A connection is refused once: the answer says `Connection:
close`, what the client still sends is read and thrown away for a moment, so that it
sees the answer instead of a reset.

Requests on one connection are answered one after the other, in order. Who
answers, and in which thread, is the server's business (`server.py`).
"""

import asyncio
from typing import Protocol, cast

from edge_runtime.http.head import Head, HeadMemory, HttpError
from edge_runtime.http.incoming import Incoming, RefusedError, refusal_of
from edge_runtime.http.outgoing import Outgoing
from edge_runtime.http.replies import Body, Reply, error_reply, unavailable
from edge_runtime.http.sized_body import Allowance
from edge_runtime.settings.serve_settings import Limits

LINGER_S = 2.0
"""Time that a refused client gets to read why."""

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
        self._in = Incoming(
            server.heads, server.allowance, server.limits.body_max_bytes, server.check
        )
        self._is_over = False
        self._is_last = False
        self._is_advancing = False
        self._is_unread = False
        self._is_paused = False
        self._transport: asyncio.Transport
        self._out: Outgoing

    @property
    def is_idle(self) -> bool:
        """Whether the client has nothing under way."""
        return not (self.is_busy or self._in.fill or self._in.head or self._is_over)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transport has the methods of asyncio's, but not its ancestry.
        self._transport = cast("asyncio.Transport", transport)
        self._out = Outgoing(self._transport, self._server.allowance)
        self.deadline_s = self._server.now_s + self._server.limits.idle_s
        if not self._server.opened(self):
            self.refuse(unavailable("too many connections are open"))

    def connection_lost(self, _error: Exception | None) -> None:
        """End."""
        self._is_over = True
        self._forget_body()
        self._out.forget()
        self._server.closed(self)

    def get_buffer(self, _hint: int) -> memoryview:
        """Say where the next bytes belong."""
        if self._is_over:
            return self._in.spare
        try:
            return self._in.room()
        except HttpError as error:
            self.refuse(refusal_of(error))
            return self._in.spare

    def buffer_updated(self, count: int) -> None:
        """Take the bytes that came."""
        if self._is_over:
            return
        if not (self.is_busy or self._in.fill or self._in.head):
            self.deadline_s = self._server.now_s + self._server.limits.head_s
        self._in.received(count)
        self._advance()

    def eof_received(self) -> bool:
        """Answer what is under way, then close; a half request is dropped."""
        self._is_last = True
        # Under TLS nobody can close one side only.
        return self.is_busy and not self._is_over and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """The client does not read: take no more from it, and wait so long."""
        self.deadline_s = self._server.now_s + self._server.limits.write_s
        self._is_unread = True
        try:
            self._out.count_unread()
        except HttpError:
            self.abort()  # the answer is on its way, so there is no other word
        self._pace_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._out.forget()
        self._is_unread = False
        self.deadline_s = self._next_deadline_s()
        self._pace_reading()
        if not self._is_over:
            self._go_on()

    # What the server calls.

    def answer(self, reply: Reply, head: Head) -> None:
        """Send the answer to the request that `head` began."""
        self.is_busy = False
        self._in.give_back()
        if self._is_over:
            return
        is_last = self._is_last and not self._in.fill
        closes = not head.keeps_alive or is_last or self._server.is_draining
        self.deadline_s = self._next_deadline_s()
        self._out.send(reply, self._server.date, closes=closes, head=head)
        if closes and self._transport.can_write_eof():
            self._end()
        elif closes:
            self.close()  # TLS has an end of its own, and everything was read
        elif self._in.fill and not self._is_advancing:
            self._go_on()

    def _go_on(self) -> None:
        """Take what came meanwhile; close where no more will come."""
        self._advance()
        is_waiting = self.is_busy or self._is_unread or self._is_over
        if self._is_last and not is_waiting:
            self.close()

    def hold_more(self, count: int) -> bool:
        """Take memory for the request under way; False where there is too little."""
        if self._is_over:
            return False  # nobody would give it back
        try:
            self._in.hold_more(count)
        except HttpError:
            return False
        return True

    def refuse(self, reply: Reply) -> None:
        """Answer with an error and close: what follows cannot be trusted."""
        if self._is_over:
            return
        date = self._server.date
        self._out.send(reply, date, closes=True, head=self._in.refused_head())
        self._end()

    def expire(self) -> None:
        """Act on a deadline that passed."""
        if self._out.unread and self._out.has_moved():
            self.deadline_s = self._server.now_s + self._server.limits.write_s
        elif self._is_over or self._out.unread:
            self._transport.abort()
        elif self.is_idle:
            self.close()
        else:
            self.refuse(error_reply(408, "the request took too long to arrive"))

    def close(self) -> None:
        """Close after what was written is sent."""
        self._is_over = True
        self.deadline_s = self._next_deadline_s()
        self._transport.close()

    def abort(self) -> None:
        """Cut the connection off."""
        self._is_over = True
        self._transport.abort()

    def _advance(self) -> None:
        """Have as many requests answered as have come, one after the other."""
        self._is_advancing = True
        try:
            while not (self.is_busy or self._is_over or self._is_unread):
                begun = self._in.head
                request = self._in.request()
                if request is None:
                    if self._in.head is not begun:
                        self._await_body()
                    break
                self.is_busy, self.deadline_s = True, _NEVER
                self._server.take(self, *request)
        except HttpError as error:
            self.refuse(refusal_of(error))
        except RefusedError as error:
            self.refuse(error.reply)
        finally:
            self._is_advancing = False
        self._pace_reading()

    def _await_body(self) -> None:
        """Wait for the body whose head has come."""
        self.deadline_s = self._server.now_s + self._server.limits.body_s
        if self._in.head is not None and self._in.head.expects_continue:
            self._out.ask_for_body()

    def _forget_body(self) -> None:
        """Let go of a body; its memory is held until its request is answered."""
        self._in.drop_body()
        if not self.is_busy:
            self._in.give_back()

    # The end.

    def _end(self) -> None:
        """Send nothing more; read on for a moment so that no reset goes out."""
        self._is_over = True
        self._forget_body()
        self.deadline_s = self._next_deadline_s()
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        self._pace_reading()

    def _pace_reading(self) -> None:
        """Read only where there is room, and a client that takes its answers."""
        is_full = self._in.is_full and not self._is_over
        pauses = is_full or self._is_unread
        if pauses == self._is_paused or self._transport.is_closing():
            return
        self._is_paused = pauses
        if pauses:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _next_deadline_s(self) -> float:
        """Return by when the client must have gone on with what it does."""
        limits, now_s = self._server.limits, self._server.now_s
        if self._is_over:
            return now_s + (limits.write_s if self._out.unread else LINGER_S)
        return now_s + (limits.head_s if self._in.fill else limits.idle_s)
