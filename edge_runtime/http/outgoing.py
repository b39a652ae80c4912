"""What one client is sent, and how much of it still waits for the client to read.

An answer that nobody reads is memory like a body that nobody ran: it counts in
the same allowance. A client that reads slowly may take its time, as long as it
reads on; one that has stopped is cut off.
"""

import asyncio

from edge_runtime.http.head import Head
from edge_runtime.http.replies import Reply, render_head
from edge_runtime.http.sized_body import Allowance

COPIED_MAX_BYTES = 16 * 1024
"""Copying so much is cheaper than handing the kernel two pieces."""

PROGRESS_BYTES = 64 * 1024
"""What a client must read at least in the time that it may leave an answer unread,
or it could keep one for ever by reading a byte now and then."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Outgoing:
    """The writing side of one connection."""

    def __init__(self, transport: asyncio.Transport, allowance: Allowance) -> None:
        """Begin with nothing sent."""
        self._transport = transport
        self._allowance = allowance
        self._counted = 0

    @property
    def unread(self) -> int:
        """Return how many bytes the kernel has not taken for the client yet."""
        return self._transport.get_write_buffer_size()

    def send(
        self, reply: Reply, date: bytes, *, closes: bool, head: Head | None
    ) -> None:
        """Write an answer; a long body is not copied to stand behind its head."""
        traceparent = head.envelope.traceparent if head is not None else ""
        lines = render_head(reply, date, closes=closes, traceparent=traceparent)
        if head is not None and head.method == b"HEAD":
            self._transport.write(lines)
        elif len(reply.body) < COPIED_MAX_BYTES:
            self._transport.write(lines + reply.body)
        else:
            self._transport.writelines((lines, reply.body))

    def ask_for_body(self) -> None:
        """Tell a client to go on that waits for it.

        Source: RFC 9110, 10.1.1
        """
        self._transport.write(_CONTINUE)

    def count_unread(self) -> None:
        """Take memory for what is unread, and give back what is not any more.

        Raises:
            HttpError: There is no memory left for it.
        """
        unread = self.unread
        self._allowance.take(unread - self._counted)
        self._counted = unread

    def has_moved(self) -> bool:
        """Say whether the client has read enough since it was counted last."""
        before = self._counted
        self.forget(self.unread)
        return before - self._counted >= PROGRESS_BYTES

    def forget(self, but: int = 0) -> None:
        """Give memory back, all or but for what is still unread."""
        but = min(but, self._counted)
        self._allowance.give_back(self._counted - but)
        self._counted = but
