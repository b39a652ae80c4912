"""A real gateway, and what it is told."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.serving.processes import Tree, clock_s
from bench.switch.results import Memory
from edge_runtime.errors import ControlError
from edge_runtime.supervision.control import Document, ask

START_S = 60.0
_PAUSE_S = 0.01
_SETTLE_S = 60.0


class GatewayError(Exception):
    """The gateway did not do what it was told."""


class Gateway:
    """One `edge-runtime serve`, with a state directory of its own."""

    def __init__(self, command: list[str], state_dir: Path, **settings: str) -> None:
        """Start it."""
        self.state_dir = state_dir
        environ = {
            "PATH": os.environ["PATH"],
            "PACKHORSE_STATE_DIR": str(state_dir),
            "PACKHORSE_LISTEN": "127.0.0.1:0",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            **settings,
        }
        self.log = log = state_dir.with_suffix(".log")
        self.tree = Tree([*command, "serve"], environ, Path.cwd(), log)

    async def ready(self) -> Document:
        """Wait until it serves a release; return its status."""
        return await self.until(lambda status: status["ready"] is True, START_S)

    async def until(
        self, condition: Callable[[Document], bool], limit_s: float = _SETTLE_S
    ) -> Document:
        """Wait until its status is as it should be; return it."""
        until_s = time.monotonic() + limit_s
        while time.monotonic() < until_s:
            status = await self.status()
            if status and condition(status):
                return status
            await asyncio.sleep(_PAUSE_S)
        raise GatewayError(f"not within {limit_s:g} s; its log is {self.log}")

    async def status(self) -> Document:
        """Return what it says of itself; {} while it says nothing."""
        try:
            return await self.order({"do": "status"})
        except ControlError:
            return {}

    async def order(self, order: Mapping[str, object]) -> Document:
        """Give it an order, and return its reply."""
        return await asyncio.to_thread(ask, self.state_dir, order, timeout_s=START_S)

    async def switch(self, slot: str) -> float:
        """Switch to a slot; return the seconds that it took."""
        begun_s = time.monotonic()
        reply = await self.order({"do": "switch", "slot": slot})
        if reply.get("ok") is not True:
            raise GatewayError(str(reply.get("reason")))
        return time.monotonic() - begun_s

    async def alone(self) -> None:
        """Wait until the worker before has ended: one of each process is left."""
        until_s = time.monotonic() + _SETTLE_S
        while len(self.tree.pids()) > 2:  # noqa: PLR2004 - supervisor and worker
            if time.monotonic() > until_s:
                raise GatewayError("the former worker does not end")
            await asyncio.sleep(_PAUSE_S)

    async def kill_worker(self) -> None:
        """Let the worker on duty crash."""
        os.kill(await self._worker_pid(), signal.SIGSEGV)

    async def worker_cpu_s(self) -> float:
        """Return the CPU time of the worker on duty."""
        return clock_s(await self._worker_pid())

    def memory(self) -> Memory:
        """Return what it holds now."""
        found = self.tree.memory()
        return Memory(found.alone_mib, found.pss_mib, found.processes)

    async def _worker_pid(self) -> int:
        pid = (await self.status())["worker_pid"]
        assert isinstance(pid, int)  # noqa: S101 - the protocol says so
        return pid
