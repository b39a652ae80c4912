"""A worker as its supervisor sees it: a process with a line to it."""

import asyncio
import itertools
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from edge_runtime.child import Child, fork
from edge_runtime.errors import KilledError, WorkerError
from edge_runtime.log import log
from edge_runtime.wording import signal_name
from edge_runtime.worker_config import WorkerConfig

ORDER_S = 10.0
"""Time a worker may take for an order; it carries them out between requests."""

KILL_S = 5.0
"""Time beyond its own limit that a worker gets to end before it is killed."""

NAME = "edge-worker"
"""What `ps -o comm` and `pgrep` know a worker by; its command line is `serve`'s."""

_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy multiplies no matrices here; its threads would only be in a fork's way."""


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """One worker that has said it is ready.

    Attributes:
        release: What it serves, as it said itself; "" for none.
        reason: Why it serves none.
    """

    config: WorkerConfig
    release: str
    process: Child
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ready_at_s: float = field(default_factory=time.monotonic)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def slot(self) -> str:
        """Name of the slot it serves; "" for none."""
        return self.config.slot

    @property
    def reason(self) -> str:
        """Why it serves no slot."""
        return self.config.reason

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.returncode is None

    @property
    def lived_s(self) -> float:
        """Time since it became ready."""
        return time.monotonic() - self.ready_at_s

    async def order(
        self, do: str, *, limit_s: float = ORDER_S, **fields: str
    ) -> dict[str, object]:
        """Give one order and return the reply.

        Args:
            do: The order's word.
            limit_s: Time for the reply, and for the orders before this one.
            fields: What else the order says.

        Raises:
            WorkerError: The worker ended, or gave no reply in time.
        """
        try:
            async with asyncio.timeout(limit_s), self.turn:
                return await self._exchange({"do": do, **fields})
        except TimeoutError as error:
            raise WorkerError(
                f"worker {self.process.pid} did not obey within {limit_s:g} s"
            ) from error
        except OSError as error:
            raise WorkerError(f"worker {self.process.pid} ended") from error

    async def check_health(self, *, limit_s: float) -> None:
        """Ask whether its release is ready, in all of its processes.

        Raises:
            KilledError: One of its processes was killed from outside.
            WorkerError: It is not, or the worker ended, or did not say in time.
        """
        reply = await self.order("health", limit_s=limit_s)
        if reply.get("is_killed") is True:
            raise KilledError(str(reply["reason"]))
        if reply["ok"] is not True:
            raise WorkerError(str(reply["reason"]))

    async def _exchange(self, order: dict[str, str]) -> dict[str, object]:
        """Send an order; pass over late replies to those before it."""
        number = next(self.numbers)
        self.writer.write(json.dumps({**order, "number": number}).encode() + b"\n")
        await self.writer.drain()
        while line := await self.reader.readline():
            reply: dict[str, object] = json.loads(line)
            if reply.pop("number") == number:
                return reply
        raise WorkerError(f"worker {self.process.pid} ended")

    async def exited(self) -> int:
        """Wait for the process to end and return its exit code."""
        code = await self.process.wait()
        self.writer.close()
        return code

    def kill(self) -> None:
        """End it as it is; its own processes end with it."""
        self.process.kill()

    async def stop(self) -> None:
        """Let it finish what runs, then end it."""
        self.process.terminate()
        try:
            async with asyncio.timeout(self.config.stop_s + KILL_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        self.writer.close()


async def start_worker(config: WorkerConfig, *, ready_s: float) -> WorkerProcess:
    """Start a worker and wait until its model is loaded and proven.

    One that is killed from outside is started once more.

    Args:
        config: What it is told; its line to us is filled in here.
        ready_s: Time it may take.

    Raises:
        KilledError: It was killed from outside, twice.
        WorkerError: It did not become ready; it has ended then.
    """
    try:
        return await _start_once(config, ready_s)
    except KilledError as error:
        log("worker_failed", slot=config.slot, reason=str(error))
        return await _start_once(config, ready_s)


async def _start_once(config: WorkerConfig, ready_s: float) -> WorkerProcess:
    control, child = socket.socketpair()
    config = replace(config, control_fd=child.fileno())
    process = _spawn(config, control, child)
    reader, writer = await asyncio.open_connection(sock=control)
    try:
        async with asyncio.timeout(ready_s):
            release = await _read_ready(reader, process)
    except BaseException as error:
        process.kill()
        await process.wait()
        writer.close()
        if isinstance(error, TimeoutError):
            raise WorkerError(
                f"the worker was not ready within {ready_s:g} s"
            ) from error
        raise
    return WorkerProcess(config, release, process, reader, writer)


def _spawn(config: WorkerConfig, control: socket.socket, child: socket.socket) -> Child:
    """Start the process; its end of the line is closed on this side."""
    kept = (config.listener_fd, config.control_fd)
    try:
        return fork(partial(_work, config), name=NAME, kept=kept)
    except OSError as error:
        control.close()
        raise WorkerError(f"no process could be started: {error.strerror}") from error
    finally:
        child.close()


def _work(config: WorkerConfig) -> int:
    """Be a worker: what only that needs is imported in its process alone."""
    os.environ.update(_ENVIRONMENT)
    from edge_runtime.worker import run_worker  # noqa: PLC0415 - see above

    return run_worker(config)


async def _read_ready(reader: asyncio.StreamReader, process: Child) -> str:
    """Return the release that a worker says it is ready with."""
    line = await reader.readline()
    if not line:
        await process.wait()
        if process.returncode == -signal.SIGKILL:
            raise KilledError(
                "the worker was killed before it was ready (SIGKILL, by somebody or"
                " for memory: the kernel's log says which)"
            )
        raise WorkerError(
            f"the worker ended before it was ready ({_end_words(process.returncode)});"
            " what it said is in the output of `edge-runtime serve`"
        )
    document = json.loads(line)
    if document["ready"] is not True:
        raise WorkerError(str(document["reason"]))
    return str(document["release"])


def _end_words(code: int | None) -> str:
    """Say how a process ended."""
    if code is None or code >= 0:
        return f"exit code {code}"
    return signal_name(-code)
