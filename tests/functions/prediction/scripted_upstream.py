"""An upstream on loopback that answers one request after the other as a test says."""

import asyncio
import contextlib

WAIT_S = 20
"""For what comes at once; only a failing test waits for so long."""

BREAK = "break"
STALL = "stall"


def answer(status, body=b'{"error": "theirs"}', **headers):
    """Return a whole answer; `retry_after` stands for `Retry-After`."""
    lines = [b"HTTP/1.1 %d Any" % status, b"Content-Length: %d" % len(body)]
    for name, value in headers.items():
        lines.append(f"{name.replace('_', '-')}: {value}".encode())
    return b"\r\n".join([*lines, b"", body])


class ScriptedUpstream:
    """Answers with what `script(number)` returns, from number 0 on.

    That is bytes, BREAK to end the connection, STALL to say nothing more, or a tuple
    of several such.

    Attributes:
        requests: The head and the body of each request.
        asked_at: When each came, in the loop's clock.
        was_asked: Set from the first on.
    """

    def __init__(self, script):
        self._script = script
        self._server = None
        self._serving = set()
        self.requests = []
        self.asked_at = []
        self.was_asked = asyncio.Event()

    @classmethod
    def saying(cls, *answers):
        """Answer so in turn, and the last for ever."""
        return cls(lambda number: answers[min(number, len(answers) - 1)])

    @property
    def url(self):
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self.stop_listening()
        # The client has ended every connection, so these end too.
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*self._serving)

    def stop_listening(self):
        """Refuse further connections; those that are there go on."""
        self._server.close()

    async def _serve(self, reader, writer):
        self._serving.add(asyncio.current_task())
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader, writer):
        """Answer one request, and say whether another may come."""
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        number = len(self.requests)
        self.requests.append((head, body))
        self.asked_at.append(asyncio.get_running_loop().time())
        self.was_asked.set()
        said = self._script(number)
        for step in said if isinstance(said, tuple) else (said,):
            if step == STALL:
                # Until the client gives up.
                await reader.read()
            if step in {STALL, BREAK}:
                return False
            writer.write(step)
        return True


def _length(head):
    lines = head.lower().split(b"\r\n")
    return sum(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
