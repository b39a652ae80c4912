"""Which connection a request gets, and when it may open one.

The connection that was used last is used first, so that those beyond need grow
old and go. Where no more may be opened, requests wait in the order they came.
Origins come from settings, so they are few.
"""

import asyncio

from functions.adapters.upstream.connection import Connection
from functions.adapters.upstream.origin import Origin
from functions.adapters.upstream.request_heads import RequestHeads

IDLE_MAX = 128
"""Kept for each origin; above a function's concurrency, so that none is thrown away."""

IDLE_S = 240.0
"""Google's front ends and the networks between forget what is idle for longer."""

SWEEP_S = 60.0


class Lane:
    """What is known of one origin: the heads of its requests, its idle connections."""

    __slots__ = ("heads", "idle", "origin")

    def __init__(self, origin: Origin) -> None:
        """Begin without a connection."""
        self.origin = origin
        self.heads = RequestHeads(origin)
        self.idle: list[Connection] = []


class Pool:
    """Counts the connections to all origins, and keeps those that are idle.

    Attributes:
        held: Connections that are idle, in use or being opened.
    """

    def __init__(self, connections_max: int) -> None:
        """Begin without a connection."""
        self._max = connections_max
        self._lanes: dict[Origin, Lane] = {}
        self._waiting: dict[asyncio.Future[Connection | None], Lane] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._idle_max = IDLE_MAX
        self.held = 0

    def lane(self, origin: Origin) -> Lane:
        """Return what is known of an origin."""
        lane = self._lanes.get(origin)
        if lane is None:
            lane = self._lanes[origin] = Lane(origin)
        return lane

    def take(self, lane: Lane, now: float) -> Connection | None:
        """Return an idle connection that may carry a request, if there is one."""
        while lane.idle:
            connection = lane.idle.pop()
            if now - connection.idle_since < IDLE_S and connection.is_quiet():
                return connection
            self.throw_away(connection)
        return None

    async def wait(self, lane: Lane) -> Connection | None:
        """Wait for a connection, or for the right to open one: None.

        Either is the caller's to give back.
        """
        if self.held < self._max:
            self.held += 1
            return None
        if self._drop_oldest():
            return None
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting[turn] = lane
        try:
            return await turn
        except asyncio.CancelledError:
            self._pass_on(turn)
            raise

    def give_back(self, lane: Lane, connection: Connection, now: float) -> None:
        """Let others have a connection that has carried its answer."""
        if not connection.is_open:
            self.release()
        elif self._waiting:
            turn, wanted = self._next_turn()
            if wanted is not lane:
                connection.abort()
            turn.set_result(connection if wanted is lane else None)
        elif len(lane.idle) >= self._idle_max:
            self.throw_away(connection)
        else:
            connection.idle_since = now
            lane.idle.append(connection)
            self._plan_sweep()

    def throw_away(self, connection: Connection) -> None:
        """End a connection; another one may be opened."""
        connection.abort()
        self.release()

    def release(self) -> None:
        """Let a connection be opened in the place of one that is gone."""
        if self._waiting:
            self._next_turn()[0].set_result(None)
        else:
            self.held -= 1

    def forget(self, lane: Lane, connection: Connection) -> None:
        """Drop a connection that ended while it carried nothing."""
        if connection in lane.idle:
            lane.idle.remove(connection)
            self.release()

    def close(self) -> None:
        """End every idle connection, and those in use when they have answered."""
        self._idle_max = 0
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._end_idle(float("inf"))

    def _next_turn(self) -> tuple[asyncio.Future[Connection | None], Lane]:
        turn = next(iter(self._waiting))
        return turn, self._waiting.pop(turn)

    def _pass_on(self, turn: asyncio.Future[Connection | None]) -> None:
        """Leave the queue, and pass on what was given at the last moment."""
        lane = self._waiting.pop(turn, None)
        if lane is None and not turn.cancelled():
            given = turn.result()
            if given is None:
                self.release()
            else:
                self.throw_away(given)

    def _drop_oldest(self) -> bool:
        """End the connection that has been idle for longest, whatever its origin."""
        oldest = min(
            (lane for lane in self._lanes.values() if lane.idle),
            key=lambda lane: lane.idle[0].idle_since,
            default=None,
        )
        if oldest is not None:
            oldest.idle.pop(0).abort()
        return oldest is not None

    def _plan_sweep(self) -> None:
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(SWEEP_S, self._sweep_now, loop)

    def _sweep_now(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = None
        self._end_idle(loop.time() - IDLE_S)
        if any(lane.idle for lane in self._lanes.values()):
            self._plan_sweep()

    def _end_idle(self, since: float) -> None:
        for lane in self._lanes.values():
            while lane.idle and lane.idle[0].idle_since <= since:
                self.throw_away(lane.idle.pop(0))
