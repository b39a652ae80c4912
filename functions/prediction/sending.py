"""Hand an answer over to the server, and let go of a caller who does not take it.

The server holds what it was given until the caller has read it, out of our sight.
So a long answer goes in parts, each when the one before is mostly gone, and its
memory counts as ours for so long. Somebody who does not read would hold it for
ever: a part that is not taken in time ends the connection.
"""

import asyncio
from typing import cast

from starlette.types import Receive, Send

from functions.prediction.headers import Raw

PART_BYTES = 128 * 1024
TAKEN_S = 10.0
"""For one part: a hundred kilobits a second."""

_BODILESS = frozenset({204, 304})


def transport_of(receive: Receive) -> asyncio.Transport | None:
    """Return the connection that a request came on; None where it is not known.

    ASGI has no word for ending a connection, so this looks where uvicorn keeps it.
    """
    cycle = getattr(receive, "__self__", None)
    # uvloop's transport has the methods of asyncio's, but not its ancestry.
    return cast("asyncio.Transport | None", getattr(cycle, "transport", None))


class Sending:
    """Sends one answer.

    Attributes:
        is_taken: Whether it was handed over whole, as far as we know.
    """

    def __init__(self, send: Send, transport: asyncio.Transport | None) -> None:
        """Send over a connection, which may have ended already."""
        self._send = send
        self._transport = transport
        self.is_taken = True

    async def answer(self, status: int, headers: list[Raw], body: bytes) -> None:
        """Send it; a caller that left is no error, and ends it."""
        try:
            await self._start(status, headers, len(body))
            if len(body) > PART_BYTES:
                await self._in_parts(body)
            else:
                await self._send({"type": "http.response.body", "body": body})
        except (RuntimeError, OSError):
            if self._transport is None or not self._transport.is_closing():
                raise
            self.is_taken = False

    async def _start(self, status: int, headers: list[Raw], length: int) -> None:
        if status not in _BODILESS:
            # RFC 9110, 8.6: the others must not say a length.
            headers = [*headers, (b"content-length", b"%d" % length)]
        await self._send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )

    async def _in_parts(self, body: bytes) -> None:
        for at in range(0, len(body), PART_BYTES):
            await self._part(body[at : at + PART_BYTES], is_last=False)
        # Waits until the last of them is mostly gone too.
        await self._part(b"", is_last=True)

    async def _part(self, part: bytes, *, is_last: bool) -> None:
        timer = asyncio.get_running_loop().call_later(TAKEN_S, self._let_go)
        try:
            await self._send(
                {"type": "http.response.body", "body": part, "more_body": not is_last}
            )
        finally:
            timer.cancel()

    def _let_go(self) -> None:
        self.is_taken = False
        if self._transport is not None:
            # What waits to send is woken by that, and told nothing.
            self._transport.abort()
