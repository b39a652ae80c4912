"""The processes of one worker: forked once its models are warm, and all alike.

They share the models' memory and the listening socket; the kernel gives each new
connection to one of them. The first is the one that the supervisor knows. It
passes the supervisor's orders on, each mate over a line of its own, and mates obey
as the first itself does: the end of the line means, finish what runs and exit 0.

A mate that ends unasked ends the whole worker, and the supervisor starts another:
a process with a loop and threads cannot fork a new one.
"""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from edge_runtime.child import Child
from edge_runtime.errors import KilledError, WorkerError
from edge_runtime.load import Load, shared_numbers
from edge_runtime.log import log
from edge_runtime.shared_board import SharedBoard

ORDER_S = 8.0
"""Less than the supervisor waits for the order that it gave."""

HEALTH_S = 4.0
"""Less than the supervisor waits to hear that a release on probation is well."""

_END_S = 0.5
"""Time for a process whose line has ended to end, too: a way back is in a hurry."""

Document = Mapping[str, object]


@dataclass(slots=True, eq=False)
class Mate:
    """Another process of this worker, as the first one sees it."""

    pid: int
    line: socket.socket
    replies: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    writer: asyncio.StreamWriter | None = None


@dataclass(frozen=True, slots=True)
class Crew:
    """What one process knows of all.

    Attributes:
        number: Its own, 0 for the first.
        control_fd: Its line to whoever gives it orders.
        mates: The others, for the first; none for the others.
        board: Where each leaves its measures for all.
        load: Where it says how many connections it has.
    """

    number: int
    control_fd: int
    mates: tuple[Mate, ...]
    board: SharedBoard
    load: Load


def fork_crew(processes: int, control_fd: int) -> Crew:
    """Fork so many processes less one; return in each of them.

    Where a library runs threads, a model's for one, a fork would copy their locks
    without them: this process then stays alone, and says so. Our own threads begin
    anew in each process.

    Raises:
        WorkerError: The machine has no room for another process.
    """
    if processes > 1 and (threads := _foreign_threads()) > 0:
        log("processes_refused", asked=processes, threads=threads)
        processes = 1
    board, loads = SharedBoard(processes), shared_numbers(processes)
    mates: list[Mate] = []
    for number in range(1, processes):
        line, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError as error:
            raise WorkerError(
                f"no process could be forked: {error.strerror}"
            ) from error
        if pid == 0:
            for end in (line, *(mate.line for mate in mates)):
                end.close()
            os.close(control_fd)
            return Crew(number, theirs.detach(), (), board, Load(loads, number))
        theirs.close()
        mates.append(Mate(pid, line))
    return Crew(0, control_fd, tuple(mates), board, Load(loads, 0))


def _foreign_threads() -> int:
    """Count the threads that Python does not know: a library's, with its locks."""
    return len(list(Path("/proc/self/task").iterdir())) - threading.active_count()


class Mates:
    """The lines from the first process to the others."""

    def __init__(self, mates: Sequence[Mate]) -> None:
        """Take charge; `meet` opens the lines."""
        self._mates = mates
        self._children = [Child(mate.pid) for mate in mates]
        self._tasks: list[asyncio.Task[None]] = []
        self._number = 0
        self._lost: asyncio.Future[Child] = asyncio.get_running_loop().create_future()

    async def meet(self) -> None:
        """Wait until every mate obeys.

        Raises:
            WorkerError: One does not.
        """
        for mate, child in zip(self._mates, self._children, strict=True):
            reader, mate.writer = await asyncio.open_connection(sock=mate.line)
            listening = self._listen(mate, child, reader)
            self._tasks.append(asyncio.create_task(listening))
        for mate in self._mates:
            _check(await _reply(mate, None, ORDER_S))

    async def order(self, order: Document, *, limit_s: float = ORDER_S) -> None:
        """Have every mate carry out an order.

        Raises:
            KilledError: One was killed from outside.
            WorkerError: One did not, and says why.
        """
        self._number += 1
        line = orjson.dumps({**order, "number": self._number}) + b"\n"
        try:
            for mate in self._mates:
                _send(mate, line)
            waits = [_reply(mate, self._number, limit_s) for mate in self._mates]
            for reply in await asyncio.gather(*waits):
                _check(reply)
        except WorkerError:
            await self.check_whole()  # which may know better
            raise

    async def check_whole(self) -> None:
        """See whether every mate is there.

        Raises:
            KilledError: One was killed from outside.
            WorkerError: One ended in another way.
        """
        if not self._lost.done():
            return
        child = self._lost.result()
        with contextlib.suppress(TimeoutError):  # its line may end before it does
            async with asyncio.timeout(_END_S):
                await child.wait()
        if child.returncode == -signal.SIGKILL:
            raise KilledError("one of its processes was killed")
        raise WorkerError("one of its processes ended")

    async def lost(self) -> Child:
        """Wait for a mate to end unasked; how it did is known once all have ended."""
        return await asyncio.shield(self._lost)

    async def dismiss(self, *, limit_s: float) -> None:
        """Let every mate finish what it runs; kill who takes longer than that."""
        for mate in self._mates:
            if mate.writer is not None:
                mate.writer.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._ended()
        for child in self._children:
            if child.returncode is None:
                log("mate_killed", pid=child.pid)
                child.kill()
        await self._ended()
        for task in self._tasks:
            task.cancel()

    async def _ended(self) -> None:
        """Wait until every mate has ended."""
        for child in self._children:
            await child.wait()

    async def _listen(
        self, mate: Mate, child: Child, reader: asyncio.StreamReader
    ) -> None:
        """Take a mate's replies until its line ends."""
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                mate.replies.put_nowait(line)
        mate.replies.put_nowait(b"")
        if not self._lost.done():
            self._lost.set_result(child)


def _send(mate: Mate, line: bytes) -> None:
    if mate.writer is None or mate.writer.is_closing():
        raise WorkerError(f"process {mate.pid} ended")
    mate.writer.write(line)


async def _reply(mate: Mate, number: int | None, limit_s: float) -> Document:
    """Wait for the reply to one order; late ones to orders before it are no news."""
    try:
        async with asyncio.timeout(limit_s):
            while line := await mate.replies.get():
                reply: Document = orjson.loads(line)
                if reply.get("number") == number:
                    return reply
    except TimeoutError:
        return {"reason": f"process {mate.pid} does not obey"}
    mate.replies.put_nowait(b"")  # it stays so
    return {"reason": f"process {mate.pid} ended"}


def _check(reply: Document) -> None:
    """Refuse a reply that is no good one."""
    if not (reply.get("ok") or reply.get("ready")):
        raise WorkerError(str(reply.get("reason")))
