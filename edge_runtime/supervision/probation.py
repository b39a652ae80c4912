"""Watch a release that has just taken over, while there is a way back.

Two probes say whether it is well: the worker's own readiness, which a model loses
that fails again and again on its own sample, and the owner's health command. A
worker that says no is gone back from at once; the command must fail several times
in a row. A probation does not end while the command's last run failed.

Source: docs/reliability.md, "Switches"
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.errors import KilledError, WorkerError
from edge_runtime.log import log
from edge_runtime.settings.serve_settings import HealthSettings
from edge_runtime.supervision.health import run_health_command
from edge_runtime.supervision.worker_process import WorkerProcess

ASK_EVERY_S = 0.2
"""A fifth of the second in which it must have been gone back; asking takes 0.1 ms."""

ANSWER_S = 5.0
"""Time for a worker to say how it is: it answers between requests, and runs in its
event loop are stopped after a quarter of a second."""


@dataclass(frozen=True, slots=True)
class Probation:
    """How a release is watched.

    Attributes:
        time_s: How long, at least.
        health: The owner's command.
        port: Where the release answers, for the command.
    """

    time_s: float
    health: HealthSettings
    port: int

    async def verdict(
        self, worker: WorkerProcess, is_on_duty: Callable[[], bool]
    ) -> str:
        """Watch a worker; return why its release failed, or "" once it has passed.

        Ends early, with "", when the worker is not on duty any more.

        Raises:
            KilledError: One of its processes was killed from outside.
        """
        running = asyncio.ensure_future(self._run_command(worker, is_on_duty))
        asking = asyncio.ensure_future(self._ask(worker, is_on_duty, running))
        tasks = (asking, running)
        try:
            for done in asyncio.as_completed(tasks):
                if reason := await done:
                    return reason
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return ""

    async def _ask(
        self,
        worker: WorkerProcess,
        is_on_duty: Callable[[], bool],
        running: asyncio.Future[str],
    ) -> str:
        """Ask the worker itself, over and over, for as long as the command runs."""
        until_s = time.monotonic() + self.time_s
        while is_on_duty():
            try:
                await worker.check_health(limit_s=ANSWER_S)
            except KilledError:
                raise
            except WorkerError as error:
                return f"its worker is not ready: {error}" if worker.is_alive else ""
            left_s = until_s - time.monotonic()
            if left_s <= 0 and running.done():
                break
            await asyncio.sleep(min(ASK_EVERY_S, left_s) if left_s > 0 else ASK_EVERY_S)
        return ""

    async def _run_command(
        self, worker: WorkerProcess, is_on_duty: Callable[[], bool]
    ) -> str:
        """Run the owner's command, over and over."""
        failures = 0
        until_s = time.monotonic() + self.time_s
        environ = {
            "PACKHORSE_RELEASE": worker.release,
            "PACKHORSE_PORT": str(self.port),
        }
        while self.health.command and is_on_duty():
            reason = await run_health_command(self.health, environ)
            failures = failures + 1 if reason else 0
            if reason:
                log("health_failed", release=worker.release, reason=reason)
            if failures >= self.health.failures_max:
                return f"{reason} ({failures} times in a row)"
            left_s = until_s - time.monotonic()
            if left_s <= 0 and not failures:
                break
            pause_s = self.health.every_s
            await asyncio.sleep(pause_s if failures else min(pause_s, left_s))
        return ""
