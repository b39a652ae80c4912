"""Requests that are being answered: who is called off, and when.

A caller that left is noticed, a body that does not come is given up, and when
this process must end, whoever still waits is told so. One look around every
quarter of a second does all of that; a timer for each request would cost more
than most requests take.
"""

import asyncio
import signal
from contextlib import suppress

from starlette.types import Receive

LOOK_S = 0.25
DRAIN_S = 8.0
"""Cloud Run kills ten seconds after SIGTERM."""
FORCE_S = 9.0
"""Then connections are dropped on which nobody reads."""


class Visit:
    """One request under way.

    Attributes:
        read_by: Until when its body must be here, on the loop's clock; None when
            it is.
        ended_by: Why it was called off: "gone", "slow" or "stopped"; empty when
            it was not.
    """

    __slots__ = ("begun_at", "ended_by", "read_by", "receive", "task", "watcher")

    def __init__(
        self, task: "asyncio.Task[None]", receive: Receive, begun_at: float
    ) -> None:
        """Begin."""
        self.task = task
        self.receive = receive
        self.begun_at = begun_at
        self.read_by: float | None = None
        self.ended_by = ""
        self.watcher: asyncio.Task[None] | None = None

    def end(self, why: str) -> None:
        """Call it off, once."""
        if not self.ended_by:
            self.ended_by = why
            self.task.cancel()


class Underway:
    """All requests under way in this process."""

    def __init__(self, *, drain_s: float = DRAIN_S) -> None:
        """Start with none, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._visits: set[Visit] = set()
        self._drain_s = drain_s
        self._is_looking = False
        self._is_draining = False

    def enter(self, receive: Receive) -> Visit:
        """Take note of the running task's request."""
        task = asyncio.current_task()
        assert task is not None, "a request is answered by a task"  # noqa: S101
        visit = Visit(task, receive, self._loop.time())
        self._visits.add(visit)
        if not self._is_looking:
            self._is_looking = True
            self._loop.call_later(LOOK_S, self._look)
        return visit

    def leave(self, visit: Visit) -> None:
        """Forget a request: it is answered, and no longer to be called off."""
        self._visits.discard(visit)
        if visit.watcher is not None:
            visit.watcher.cancel()

    def drain(self) -> None:
        """Give whoever is under way some seconds; then end what is left."""
        if not self._is_draining:
            self._is_draining = True
            self._loop.call_later(self._drain_s, self._stop)

    def _look(self) -> None:
        now = self._loop.time()
        for visit in self._visits:
            if visit.read_by is not None:
                if now >= visit.read_by:
                    visit.end("slow")
            elif visit.watcher is None and now - visit.begun_at >= LOOK_S:
                visit.watcher = self._loop.create_task(_watch(visit))
        self._is_looking = bool(self._visits)
        if self._is_looking:
            self._loop.call_later(LOOK_S, self._look)

    def _stop(self) -> None:
        for visit in self._visits:
            visit.end("stopped")
        self._loop.call_later(FORCE_S - DRAIN_S, _force)


async def _watch(visit: Visit) -> None:
    """Wait until the caller leaves; its body is here, so nothing else can come."""
    with suppress(Exception):
        while (await visit.receive())["type"] != "http.disconnect":
            pass
        visit.end("gone")


def _force() -> None:
    # To uvicorn, a second signal says that it must not wait for connections.
    signal.raise_signal(signal.SIGINT)
