"""Which worker answers, which one is kept warm behind it, and how they change.

At every moment at most one worker accepts, except while one hands over to the
next: then both do, so that no connection waits for either.
"""

import asyncio
from collections.abc import Coroutine

from edge_runtime.errors import WorkerError
from edge_runtime.log import log
from edge_runtime.supervision.worker_process import ORDER_S, WorkerProcess

LEAVE_S = 3.0
"""Time for a worker that is gone back from to take the order to drain. One that hangs
cannot end what it answers, and nobody else comes by the connections that it holds."""

LEAVE_WAIT_S = 0.5
"""As long as that is waited for; the former worker answers meanwhile."""


class Shift:
    """The worker on duty, and the one before it while it may have to return."""

    def __init__(self) -> None:
        """Start with nobody on duty."""
        self.current: WorkerProcess | None = None
        self.previous: WorkerProcess | None = None
        self._workers: list[WorkerProcess] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def hand_to(self, worker: WorkerProcess, *, keeps_warm: bool = True) -> None:
        """Let a ready worker accept, and the one on duty drain.

        Args:
            worker: Answers from now on.
            keeps_warm: Whether the one before stays, if it serves a release.

        Raises:
            WorkerError: The new worker ended; the old one is still on duty.
        """
        await _accept(worker)
        self._workers = [*(w for w in self._workers if w.is_alive), worker]
        self.let_go()
        old, self.current = self.current, worker
        if old is None or not old.is_alive:
            return
        await _is_drained(old)
        if old.release and keeps_warm:
            self.previous = old
        else:
            self.spawn(_retire(old))

    async def take_back(self) -> WorkerProcess:
        """Let the warm worker accept again; return it.

        Raises:
            WorkerError: There is none, or it has ended.
        """
        good, bad = self.previous, self.current
        if good is None:
            raise WorkerError("no worker is kept warm")
        self.previous = None
        try:
            await _accept(good)
        except WorkerError:
            self.spawn(_retire(good))
            raise
        self.current = good
        if bad is not None and bad.is_alive:
            leaving = self.spawn(self._leave(bad))
            await asyncio.wait({leaving}, timeout=LEAVE_WAIT_S)
        return good

    def let_go(self) -> None:
        """End the warm worker."""
        if self.previous is not None:
            self.spawn(_retire(self.previous))
            self.previous = None

    def forget(self, worker: WorkerProcess) -> None:
        """Take note that a worker has ended."""
        if worker is self.previous:
            self.previous = None
        if worker is self.current:
            self.current = None

    async def stop(self) -> None:
        """End every worker, each after what it is answering; also those that leave."""
        self.current = self.previous = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        await asyncio.gather(*tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run `work` in the background, and hold on to it until it is done."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _leave(self, worker: WorkerProcess) -> None:
        if not await _is_drained(worker, limit_s=LEAVE_S):
            worker.kill()
        self.spawn(_retire(worker))


async def _accept(worker: WorkerProcess) -> None:
    """Let a worker accept.

    Raises:
        WorkerError: It does not.
    """
    reply = await worker.order("accept")
    if reply["ok"] is not True:
        raise WorkerError(str(reply["reason"]))


async def _is_drained(worker: WorkerProcess, *, limit_s: float = ORDER_S) -> bool:
    """Tell a worker to leave new connections to others; say whether it obeyed."""
    try:
        reply = await worker.order("drain", limit_s=limit_s)
    except WorkerError as error:
        log("drain_failed", slot=worker.slot, reason=str(error))
        return False
    if reply["ok"] is not True:
        log("drain_failed", slot=worker.slot, reason=str(reply["reason"]))
    return True


async def _retire(worker: WorkerProcess) -> None:
    """End a worker once its idle connections had time to be used or closed."""
    if worker.is_alive:
        await asyncio.sleep(worker.config.drain_s)
    await worker.stop()
