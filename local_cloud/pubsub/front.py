"""One port for both languages of Pub/Sub: gRPC, and publishing over REST.

Google's emulator speaks both on the port that one setting leads to. gRPC's library
cannot, so this listens in its place, and passes on what begins as HTTP/2 does.

Source: RFC 9113, 3.4; Cloud Pub/Sub REST reference, `projects.topics.publish`
"""

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable

from google.protobuf.json_format import ParseError
from google.pubsub_v1 import types

from local_cloud.pubsub import errors

_GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
"""What ends a conversation, and is nobody's business."""

Publish = Callable[[types.PublishRequest], types.PublishResponse]

_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD_MAX_BYTES = 64 * 1024
_BODY_MAX_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 64 * 1024
_PATH = re.compile(
    r"POST /v1/(projects/[^/]+/topics/[^/: ]+):publish(?:\?\S*)? HTTP/1\.1"
)
_LENGTH = re.compile(
    r"^content-length: *([0-9]{1,9})\r?$", re.IGNORECASE | re.MULTILINE
)
_REASONS: dict[type[errors.PubsubError], tuple[int, str]] = {
    errors.InvalidArgumentError: (400, "INVALID_ARGUMENT"),
    errors.NotFoundError: (404, "NOT_FOUND"),
}


class Front:
    """Listens in a thread of its own."""

    def __init__(
        self, listening: socket.socket, grpc_address: tuple[str, int], publish: Publish
    ) -> None:
        """Take connections of `listening`, which is bound already.

        Args:
            listening: The port that clients know.
            grpc_address: Where gRPC is served.
            publish: Keeps messages.
        """
        self._listening = listening
        self._grpc_address = grpc_address
        self._publish = publish
        self._loop = asyncio.new_event_loop()
        self._is_stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="front")
        self._thread.start()

    def stop(self) -> None:
        """End every connection."""
        self._loop.call_soon_threadsafe(self._is_stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._talk, sock=self._listening, limit=_HEAD_MAX_BYTES
        )
        async with server:
            await self._is_stopping.wait()
        # What is still under way is ended with the loop.

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(*_GONE):
            start = await reader.readexactly(len(b"PRI"))
            if start == _HTTP2[: len(start)]:
                await self._pass_on(start, reader, writer)
            else:
                await self._answer_all(start, reader, writer)
        writer.close()

    async def _pass_on(
        self, start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, port = self._grpc_address
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
        inner_writer.write(start)
        pumps = {
            asyncio.create_task(_pump(reader, inner_writer)),
            asyncio.create_task(_pump(inner_reader, writer)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            inner_writer.close()
            for pump in pumps:
                pump.cancel()

    async def _answer_all(
        self, start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while start:
            head = start + await reader.readuntil(b"\r\n\r\n")
            text = head.decode("latin-1")
            length = int(match[1]) if (match := _LENGTH.search(text)) else 0
            if length > _BODY_MAX_BYTES:
                return
            body = await reader.readexactly(length)
            status, answer = await asyncio.to_thread(self._answer, text, body)
            writer.write(
                f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(answer)}\r\n\r\n".encode()
                + answer
            )
            await writer.drain()
            start = await reader.read(1)

    def _answer(self, head: str, body: bytes) -> tuple[int, bytes]:
        match = _PATH.match(head)
        if match is None:
            return _refusal(404, "NOT_FOUND", "this stand-in publishes, over REST")
        try:
            request = types.PublishRequest.from_json(body.decode() or "{}")
            request.topic = match[1]
            answer = types.PublishResponse.to_json(self._publish(request))
        except (ParseError, ValueError):
            return _refusal(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
        except errors.PubsubError as error:
            status, word = _REASONS.get(type(error), (500, "INTERNAL"))
            return _refusal(status, word, str(error))
        return 200, answer.encode()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side ends."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()


def _refusal(status: int, word: str, message: str) -> tuple[int, bytes]:
    error = {"code": status, "message": message, "status": word}
    return status, json.dumps({"error": error}).encode()
