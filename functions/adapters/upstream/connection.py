"""One connection: a request's bytes out, an answer's bytes in, and the deadline."""

import asyncio
import select
from collections.abc import Callable
from typing import cast

from functions.adapters.upstream.answer import Answer
from functions.adapters.upstream.answer_reader import AnswerReader
from functions.errors import BrokenAnswerError, LateAnswerError, NotSentError

COPIED_MAX_BYTES = 16 * 1024
"""Copying so much is cheaper than handing the kernel two pieces."""

PIECE_BYTES = 256 * 1024
"""Of a long body; the next one is written when the transport has room again."""

_NOTHING = memoryview(b"")


class Connection(asyncio.Protocol):
    """Carries one request at a time.

    Attributes:
        idle_since: Since when it has had nothing to do, in the loop's clock.
        was_used: Whether it has carried an answer, so that it may be stale.
    """

    __slots__ = (
        "_answer",
        "_is_lost",
        "_is_paused",
        "_on_lost",
        "_poll",
        "_reader",
        "_timer",
        "_transport",
        "_unsent",
        "idle_since",
        "was_used",
    )

    def __init__(
        self, answer_max_bytes: int, on_lost: Callable[["Connection"], None]
    ) -> None:
        """Prepare for the transport.

        Args:
            answer_max_bytes: Of an answer's body.
            on_lost: Called once when the connection ends while it carries nothing.
        """
        self._reader = AnswerReader(answer_max_bytes)
        self._on_lost = on_lost
        self._answer: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = _NOTHING
        self._is_paused = False
        self._is_lost = False
        self.idle_since = 0.0
        self.was_used = False

    @property
    def is_stale(self) -> bool:
        """Whether upstream ended it, after an answer, before a byte of this one."""
        return self.was_used and self._reader.is_untouched

    @property
    def is_open(self) -> bool:
        """Whether nobody has ended it yet."""
        return not (self._is_lost or self._transport.is_closing())

    def is_quiet(self) -> bool:
        """Say whether it may carry a request: open, and nothing came unasked.

        The loop may not have looked yet, so the socket itself is asked: what lies
        there would be taken for the answer.
        """
        return self.is_open and not self._poll.poll(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transport has the methods of asyncio's, but not its ancestry.
        self._transport = cast("asyncio.Transport", transport)
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket"), select.POLLIN)

    def send(
        self,
        loop: asyncio.AbstractEventLoop,
        head: bytes,
        body: bytes,
        deadline: float,
    ) -> asyncio.Future[Answer]:
        """Write a request; the future is done at the deadline at the latest.

        It raises BrokenAnswerError or LateAnswerError; then the connection is of
        no more use.

        Raises:
            NotSentError: The connection ended before.
        """
        if not self.is_open:
            raise NotSentError("upstream closed the connection")
        self._answer = answer = loop.create_future()
        self._timer = loop.call_at(deadline, self._expire)
        self._reader.begin()
        if len(body) < COPIED_MAX_BYTES:
            self._transport.write(head + body)
        elif len(body) <= PIECE_BYTES:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
            self._send_more()
        return answer

    def data_received(self, data: bytes) -> None:
        """Read on; what nobody asked for ends the connection."""
        if self._answer is None:
            self.abort()
            return
        try:
            answer = self._reader.feed(data)
        except BrokenAnswerError as error:
            self._fail(error)
        else:
            if answer is not None:
                self._succeed(answer)

    def eof_received(self) -> None:
        """End an answer that has no other end; the transport then closes itself."""
        if self._answer is not None and (answer := self._reader.end()) is not None:
            self._succeed(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what was under way."""
        self._is_lost = True
        if self._answer is not None:
            error = BrokenAnswerError("the connection to upstream broke")
            error.__cause__ = exc
            self._fail(error)
        else:
            self._on_lost(self)

    def pause_writing(self) -> None:
        """Write no more for now."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Write on."""
        self._is_paused = False
        self._send_more()

    def abort(self) -> None:
        """End the connection now; whoever calls knows why."""
        self._settle()
        self._transport.abort()

    def _send_more(self) -> None:
        while self._unsent and not self._is_paused:
            if self._poll.poll(0):
                # An early answer, which would be lost where a write fails on an end
                # that came behind it: the loop reads before this goes on.
                asyncio.get_running_loop().call_soon(self._send_more)
                return
            piece = self._unsent[:PIECE_BYTES]
            self._unsent = self._unsent[PIECE_BYTES:]
            self._transport.write(piece)

    def _succeed(self, answer: Answer) -> None:
        # RFC 9112, 9.3: an answer may come before its request is out.
        is_whole = not self._unsent and not self._transport.get_write_buffer_size()
        waiting = self._settle()
        self.was_used = True
        if not (self._reader.keeps_alive and is_whole):
            self._transport.abort()
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _expire(self) -> None:
        self._fail(LateAnswerError("upstream gave no whole answer in time"))

    def _fail(self, error: BrokenAnswerError | LateAnswerError) -> None:
        waiting = self._settle()
        self._transport.abort()
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
            # Nobody is left to read it where the caller is cancelled just now.
            waiting.exception()

    def _settle(self) -> asyncio.Future[Answer] | None:
        waiting, self._answer = self._answer, None
        self._unsent = _NOTHING
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return waiting
