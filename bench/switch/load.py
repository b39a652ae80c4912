"""Clients that ask on and on, hold every answer against what is right, and note times.

Three of four keep their connection as long as they may; every fourth makes a new
one for each request, for those are what a change of listeners would lose.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from bench.switch.releases import NAME

ANSWER_S = 10.0
"""Time for an answer, after which the request has failed."""

_ABSOLUTE = 1e-3
_EXAMPLES_MAX = 20
_NEW_EVERY = 4
_HEAD_END = b"\r\n\r\n"


class BadAnswerError(Exception):
    """What came is no right answer."""


@dataclass(slots=True)
class Record:
    """What was asked, and what came of it.

    Attributes:
        sent_s: When each request was sent, by the monotonic clock.
        took_s: How long each answer took.
        answered: Right answers by release.
        failed: How many came to nothing, or were wrong.
        examples: How the first of those failed.
        has_failed: Set once one has.
    """

    sent_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    examples: list[str] = field(default_factory=list)
    has_failed: asyncio.Event = field(default_factory=asyncio.Event)

    def fail(self, error: Exception) -> None:
        """Count a request that failed."""
        self.failed += 1
        self.has_failed.set()
        if len(self.examples) < _EXAMPLES_MAX:
            self.examples.append(f"{type(error).__name__}: {error}")

    def between(self, begin_s: float, end_s: float) -> np.ndarray:
        """Return how long the requests took that were sent in a window, in ms."""
        sent_s = np.asarray(self.sent_s)
        is_in = (sent_s >= begin_s) & (sent_s < end_s)
        return np.asarray(self.took_s)[is_in] * 1000.0


@dataclass(frozen=True, slots=True)
class Question:
    """A row, and what each release makes of it."""

    body: bytes
    answers: Mapping[str, np.ndarray]


def questions(rows: np.ndarray, answers: Mapping[str, np.ndarray]) -> list[Question]:
    """Return a question for each row."""
    return [
        Question(_request(row), {r: y[number] for r, y in answers.items()})
        for number, row in enumerate(rows)
    ]


class Load:
    """So many clients, each with a question of its own."""

    def __init__(self, port: int, asked: list[Question], per_s: float) -> None:
        """Prepare to ask.

        Args:
            port: Where the gateway listens on loopback.
            asked: One question for each client.
            per_s: Requests of all clients together in a second; 0 for as many as
                are answered.
        """
        self.record = Record()
        self._port = port
        self._asked = asked
        self._every_s = len(asked) / per_s if per_s else 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begin to ask."""
        self._tasks = [
            asyncio.create_task(self._ask_on(number, question))
            for number, question in enumerate(self._asked)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop asking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask_on(self, number: int, question: Question) -> None:
        connection: _Connection | None = None
        due_s = time.monotonic() + self._every_s * number / len(self._asked)
        try:
            while True:
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                due_s = max(due_s + self._every_s, time.monotonic() - 1.0)
                connection = await self._ask(connection, question)
                if connection and number % _NEW_EVERY == 0:
                    connection.close()
                    connection = None
        finally:
            if connection:
                connection.close()

    async def _ask(
        self, connection: "_Connection | None", question: Question
    ) -> "_Connection | None":
        """Ask once; return the connection, if it may be used again."""
        sent_s = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_S):
                connection = connection or await _connect(self._port)
                head, body = await connection.ask(question.body)
            release = _check(head, body, question)
        except (OSError, TimeoutError, BadAnswerError) as error:
            self.record.fail(error)
            if connection:
                connection.close()
            return None
        self.record.sent_s.append(sent_s)
        self.record.took_s.append(time.monotonic() - sent_s)
        self.record.answered[release] += 1
        if b"connection: close" in head:
            connection.close()
            return None
        return connection


class _Connection(asyncio.Protocol):
    """One connection, which waits for one answer at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answer: asyncio.Future[tuple[bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport."""
        self._transport = transport  # type: ignore[assignment] # a stream's
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Hand over an answer that is whole."""
        self._buffer += data
        head, end, rest = self._buffer.partition(_HEAD_END)
        if not end or self._answer is None or self._answer.done():
            return
        head = head.lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(rest) >= length:
            self._buffer = rest[length:]
            self._answer.set_result((head, rest[:length]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what was asked last."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed unanswered"))

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """Send a request; return the answer's head, in small letters, and its body."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("closed before it was asked")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(OSError):
            if self._transport is not None:
                self._transport.close()


async def _connect(port: int) -> _Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
    return connection


def _check(head: bytes, body: bytes, question: Question) -> str:
    """Return the release that answered.

    Raises:
        BadAnswerError: The answer is no right one.
    """
    if not head.startswith(b"http/1.1 200 "):
        raise BadAnswerError(f"{head[:40]!r} {body[:200]!r}")
    release = head.partition(b"x-packhorse-release: ")[2].partition(b"\r\n")[0].decode()
    expected = question.answers.get(release)
    data = json.loads(body)["outputs"][0]["data"]
    if expected is None or not np.allclose(data, expected, atol=_ABSOLUTE):
        raise BadAnswerError(f"{release} answered {data}, not {expected}")
    return release


def _request(row: np.ndarray) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, len(row)]}
    body = json.dumps({"inputs": [{**tensor, "data": row.tolist()}]}).encode()
    head = f"POST /v2/models/{NAME}/infer HTTP/1.1\r\nHost: gateway\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
