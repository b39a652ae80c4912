"""A worker: one process that answers for one slot, or for none.

The supervisor starts it with the listening socket and one end of a socket pair.
It loads the slot's model, runs the golden samples, and says `ready`; only then
is it ever told to accept. Orders and replies are JSON, one a line, in order.

    {"do": "accept"}                 take new connections
    {"do": "drain"}                  leave them to another worker; stay warm
    {"do": "recent", "path": "…"}    write the last live requests to a file

SIGTERM, and the end of the supervisor, both mean: finish what runs, then exit 0.
"""

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import orjson
import uvloop

from edge_runtime.counts import Counts
from edge_runtime.errors import EdgeError
from edge_runtime.log import log
from edge_runtime.routes import build_routes
from edge_runtime.run_watch import RunWatch
from edge_runtime.server import Server
from edge_runtime.service import ModelService
from edge_runtime.slots import Slots
from edge_runtime.warm import load_warm
from edge_runtime.worker_config import WorkerConfig, decode_config
from edge_runtime.wsgi import WsgiApp
from packhorse.manifest import Manifest

MEMORY_PER_BYTE = 8
"""A model is read, parsed, optimised, packed for the processor, and run."""

REASON_MAX = 2000
"""Characters that the supervisor reads: names of tensors may be many and long."""

_OOM_SCORE = "500"
"""Of -1000..1000, where 0 is what the supervisor has."""


class Worker:
    """One worker's life after its model is warm."""

    def __init__(
        self, config: WorkerConfig, service: ModelService, watch: RunWatch
    ) -> None:
        """Build the server for `service`, whose runs are under `watch`."""
        self._config = config
        self._watch = watch
        self._service = service
        self._counts = Counts()
        self._listener = socket.socket(fileno=config.listener_fd)
        self._server = Server(
            build_routes(service, config.container),
            self._make_app,
            self._counts,
            config.limits,
        )
        self._tasks: set[asyncio.Task[object]] = set()

    async def run(self) -> None:
        """Obey the supervisor until it is gone or says stop."""
        self._watch.shorten_here()
        control = socket.socket(fileno=self._config.control_fd)
        reader, writer = await asyncio.open_connection(sock=control)
        timekeeper = asyncio.create_task(self._server.keep_time())
        obeying = asyncio.create_task(self._obey(reader, writer))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, obeying.cancel)
        release = self._service.release
        await _say(writer, {"ready": True, "release": str(release) if release else ""})
        await asyncio.wait([obeying])
        self._server.stop_accepting()
        self._listener.close()
        await self._server.drain(idle_s=0.0, limit_s=self._config.stop_s)
        timekeeper.cancel()
        self._server.shut_down()

    async def _obey(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry out one order after the other."""
        while line := await reader.readline():
            try:
                reply = await self._carry_out(orjson.loads(line))
            except (EdgeError, OSError) as error:
                reply = {"ok": False, "reason": str(error)}
            await _say(writer, reply)

    async def _carry_out(self, order: Mapping[str, str]) -> dict[str, object]:
        match order["do"]:
            case "accept":
                await self._server.accept(self._listener)
            case "drain":
                self._server.stop_accepting()
                self._keep(self._drain())
            case "recent":
                save = partial(self._service.recent.save, Path(order["path"]))
                return {"ok": True, "count": await asyncio.to_thread(save)}
            case other:
                return {"ok": False, "reason": f"unknown order {other!r}"}
        return {"ok": True}

    async def _drain(self) -> None:
        """Let the connections end; the process stays warm for a way back."""
        config = self._config
        limit_s = config.drain_s + config.limits.body_s
        is_quiet = await self._server.drain(idle_s=config.drain_s, limit_s=limit_s)
        log("worker_drained", slot=config.slot, is_quiet=is_quiet)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        """Run `work` beside the orders, and hold on to it until it is done."""
        task: asyncio.Task[object] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _make_app(self) -> WsgiApp:
        """Build the Flask app, when the first request needs it."""
        from edge_runtime.app import create_app  # noqa: PLC0415 - costs 17 MiB

        app = create_app(self._service, self._counts, slot=self._config.slot)
        return cast("WsgiApp", app.wsgi_app)


def load_service(config: WorkerConfig, watch: RunWatch) -> ModelService:
    """Load the slot's model and prove it; without a slot serve none.

    Raises:
        EdgeError: The slot's release cannot serve here.
    """
    if not config.slot:
        return ModelService(reason=config.reason)
    slot = Slots(Path(config.state_dir)).slot(config.slot)
    manifest = slot.manifest()
    _confine(config, manifest)
    return ModelService(manifest.release, load_warm(slot, watch))


def _confine(config: WorkerConfig, manifest: Manifest) -> None:
    """Let no request make this worker take the whole machine's memory.

    Where memory runs out all the same, the kernel is to take the worker, which is
    started again, and neither the supervisor nor the agent.
    """
    size = sum(member.length_bytes for member in manifest.members)
    limit = config.limits.memory_max_bytes + MEMORY_PER_BYTE * size
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(OSError):  # a container may not let us
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


async def _say(writer: asyncio.StreamWriter, document: Mapping[str, object]) -> None:
    writer.write(orjson.dumps(document) + b"\n")
    await writer.drain()


def main() -> int:
    """Run one worker; its only argument is a `WorkerConfig`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor tells us
    config = decode_config(sys.argv[1])
    try:
        watch = RunWatch(config.limits.run_s)
        service = load_service(config, watch)
    except EdgeError as error:
        reason = str(error)[:REASON_MAX]
        refusal = orjson.dumps({"ready": False, "reason": reason}) + b"\n"
        socket.socket(fileno=config.control_fd).sendall(refusal)
        return 1
    gc.freeze()  # what is loaded stays; collections need not walk it again
    uvloop.run(Worker(config, service, watch).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
