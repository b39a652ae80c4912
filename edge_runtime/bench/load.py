"""Connections that send a request whenever the last is answered, until time is up.

Each speaks HTTP/1.1 by itself, so that the client costs little beside the server.
A connection that the server closes between two requests is opened again; one that
breaks while an answer is due is counted.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools
import uvloop

from edge_runtime.bench.latencies import Latencies
from edge_runtime.bench.target import ANSWER_S, Target
from edge_runtime.errors import BenchError

REASON_MAX_BYTES = 300
"""Of the first answer that was not 200."""

_OK = 200
_TELL_S = 0.25
_REOPEN_S = 0.05
"""A server that closes every connection at once is not asked in a busy loop."""


@dataclass(slots=True)
class Outcome:
    """What the load showed.

    Attributes:
        seconds: How long was counted.
        statuses: How many answers came with each status.
        broken: Requests whose connection broke, or that got no answer in time.
        reason: What the first answer said that was not 200.
        client_share: Share of one core that the client itself used.
    """

    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    reason: str = ""
    client_share: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether there were answers, and all were 200."""
        return set(self.statuses) == {_OK} and not self.broken


@dataclass(frozen=True, slots=True)
class Plan:
    """How much load.

    Attributes:
        warm_up_s: Time before the first request that counts.
        tell: Called now and then with the seconds gone and the answers so far.
        answer_s: Time for one answer; a connection that waits longer is cut.
    """

    connections: int
    duration_s: float
    warm_up_s: float
    tell: Callable[[float, int], None]
    answer_s: float = ANSWER_S


def run_load(target: Target, message: bytes, plan: Plan) -> Outcome:
    """Send the message on every connection, again and again.

    Raises:
        BenchError: The server takes no connection.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Load(target, message, plan).run())


class _Load:
    """What all connections share."""

    def __init__(self, target: Target, message: bytes, plan: Plan) -> None:
        self.message, self.outcome = message, Outcome()
        self.is_over = False
        self._target, self._plan = target, plan
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> Outcome:
        """Open all connections, count for a while, close all."""
        for _ in range(self._plan.connections):
            await self._connect()
        await self._spend(self._plan.warm_up_s)
        self.outcome = Outcome()
        begun_s, cpu_s = time.perf_counter(), time.process_time()
        await self._spend(self._plan.duration_s)
        self.is_over = True
        self.outcome.seconds = time.perf_counter() - begun_s
        cpu_s = time.process_time() - cpu_s
        self.outcome.client_share = cpu_s / self.outcome.seconds
        for connection in list(self._open):
            connection.close()
        return self.outcome

    def reopen(self) -> None:
        """Open a connection in place of one that was closed."""
        if not self.is_over:
            task = asyncio.ensure_future(self._reconnect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def opened(self, connection: "_Connection") -> None:
        """Count a connection in."""
        self._open.add(connection)

    def closed(self, connection: "_Connection") -> None:
        """Count a connection out."""
        self._open.discard(connection)

    async def _connect(self) -> None:
        try:
            await asyncio.wait_for(
                asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self),
                    self._target.host,
                    self._target.port,
                    ssl=self._target.tls,
                ),
                self._plan.answer_s,
            )
        except OSError as error:
            raise BenchError(
                f"{self._target.authority} takes no connection: {error}"
            ) from error

    async def _reconnect(self) -> None:
        await asyncio.sleep(_REOPEN_S)
        try:
            await self._connect()
        except BenchError as error:
            self.outcome.broken += 1
            self.outcome.reason = self.outcome.reason or str(error)
            self.reopen()

    async def _spend(self, duration_s: float) -> None:
        """Let the connections work; look after answers that do not come."""
        begun_s = time.monotonic()
        while (gone_s := time.monotonic() - begun_s) < duration_s:
            self._plan.tell(gone_s, self.outcome.latencies.count)
            await asyncio.sleep(min(_TELL_S, duration_s - gone_s))
            late_ns = time.perf_counter_ns() - int(self._plan.answer_s * 1e9)
            for connection in list(self._open):
                connection.cut_if_late(late_ns)


class _Connection(asyncio.Protocol):
    """One connection: what it waits for, and since when."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._sent_ns = 0
        self._is_waiting = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._load.opened(self)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._note(f"expected HTTP, came {data[:80]!r}: {error}")
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count what was not answered, and begin anew."""
        self._load.closed(self)
        if self._is_waiting and not self._load.is_over:
            self._load.outcome.broken += 1
            self._note(str(exc or "the server closed the connection"))
        self._load.reopen()

    # What the parser calls.

    def on_body(self, body: bytes) -> None:
        """Keep the beginning of an answer that is not 200."""
        if self._parser.get_status_code() != _OK and not self._load.outcome.reason:
            self._body += body[: REASON_MAX_BYTES - len(self._body)]

    def on_message_complete(self) -> None:
        """Count the answer, and send the next request."""
        if self._load.is_over:
            return
        self._is_waiting = False
        outcome = self._load.outcome
        outcome.latencies.add(time.perf_counter_ns() - self._sent_ns)
        status = self._parser.get_status_code()
        outcome.statuses[status] += 1
        if status != _OK:
            self._note(self._body.decode("utf-8", "replace") or f"status {status}")
        self._body = b""
        if self._parser.should_keep_alive():
            self._send()
        else:
            self._transport.close()

    # What the load calls.

    def cut_if_late(self, late_ns: int) -> None:
        """Break the connection when its request was sent before that."""
        if self._is_waiting and self._sent_ns < late_ns:
            self._note("no answer in time")
            self._transport.abort()

    def close(self) -> None:
        """End it, whatever it waits for."""
        self._transport.abort()

    def _note(self, reason: str) -> None:
        """Keep the first reason."""
        self._load.outcome.reason = self._load.outcome.reason or reason

    def _send(self) -> None:
        self._is_waiting = True
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(self._load.message)
