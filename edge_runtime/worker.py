"""A worker: one process that answers for one slot, or for none; or a crew of them.

The supervisor forks it; they share the listening socket and a line between them.
It loads the slot's model, runs the golden samples, and says `ready`; only then
is it ever told to accept. Orders and replies are JSON, one a line, in order; a
reply repeats the order's `number`.

    {"do": "accept"}                 take new connections
    {"do": "drain"}                  leave them to another worker; stay warm
    {"do": "health"}                 say whether the slot's release is ready
    {"do": "models"}                 name the models, and whether they are ready
    {"do": "recent", "path": "…", "after_us": "…"}
                                     write the live requests since then to a file

SIGTERM, and the end of the supervisor, both mean: finish what runs, then exit 0.
"""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
from collections.abc import Coroutine, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import orjson
import uvloop

from edge_runtime.answering import Answering
from edge_runtime.arenas import limit_arenas
from edge_runtime.confined import MEMORY_PER_BYTE
from edge_runtime.crew import HEALTH_S, Crew, Mates, fork_crew
from edge_runtime.errors import EdgeError, KilledError, WorkerError
from edge_runtime.http.tls import REFRESH_S
from edge_runtime.log import log
from edge_runtime.models.listing import describe_models
from edge_runtime.models.load import load_models
from edge_runtime.models.models import Models
from edge_runtime.models.repository import Repository
from edge_runtime.run_watch import RunWatch
from edge_runtime.settings.serve_settings import NO_RELEASE
from edge_runtime.slots import Slot, Slots
from edge_runtime.start_pages import give_back_start_pages
from edge_runtime.worker_config import WorkerConfig

REASON_MAX = 2000
"""Characters that the supervisor reads: names of tensors may be many and long."""

STOP_IDLE_S = 0.5
"""Time at the end in which what clients have just sent still arrives."""

STOP_MATES_S = 1.0
"""Time beyond its own that this process waits for its mates."""

_TELL_S = 0.5
"""Age of what a process knows of the others; telling takes 0.1 ms for a model."""

_OOM_SCORE = "500"
"""Of -1000..1000, where 0 is what the supervisor has."""


class Worker:
    """One worker's life after its model is warm."""

    def __init__(
        self, config: WorkerConfig, models: Models, watch: RunWatch, crew: Crew
    ) -> None:
        """Serve `models`, whose runs are under `watch`, as one of `crew`."""
        self._config = config
        self._watch = watch
        self._crew = crew
        self._mates = Mates(crew.mates)
        self._models = models
        self._answering = Answering(config, models, crew)
        self._server = self._answering.server
        self._listener = socket.socket(fileno=config.listener_fd)
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_short = False

    async def run(self) -> int:
        """Obey until told to stop, or until a mate is lost.

        Returns:
            0, or how a mate ended that nobody told to.
        """
        self._watch.shorten_here()
        asyncio.get_running_loop().set_exception_handler(_log_mistake)
        control = socket.socket(fileno=self._crew.control_fd)
        reader, writer = await asyncio.open_connection(sock=control)
        await self._mates.meet()
        timekeeper = asyncio.create_task(self._server.keep_time())
        obeying = asyncio.create_task(self._obey(reader, writer))
        losing = asyncio.create_task(self._mates.lost())
        telling = asyncio.create_task(self._tell())
        renewing = asyncio.create_task(self._renew())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, obeying.cancel)
        await _say(writer, {"ready": True, "release": self._release})
        await asyncio.wait([obeying, losing], return_when=asyncio.FIRST_COMPLETED)
        lost = losing.result() if losing.done() else None
        self._is_short = lost is not None
        await self._stop()
        obeying.cancel()
        timekeeper.cancel()
        telling.cancel()
        renewing.cancel()
        self._answering.shut_down()
        return (lost.returncode or 0) if lost else 0

    async def _tell(self) -> None:
        """Tell the other processes from time to time what this one has measured."""
        while self._crew.load.is_shared:
            self._answering.tell()
            await asyncio.sleep(_TELL_S)

    async def _renew(self) -> None:
        """Look from time to time whether there is a new certificate."""
        while self._answering.tls is not None:
            await asyncio.sleep(REFRESH_S)
            self._answering.tls.refresh()

    async def _stop(self) -> None:
        """Finish what runs, here and in every mate."""
        stop_s = self._config.stop_s
        self._server.stop_accepting()
        self._listener.close()
        await asyncio.gather(
            self._server.drain(idle_s=min(STOP_IDLE_S, stop_s), limit_s=stop_s),
            self._mates.dismiss(limit_s=stop_s + STOP_MATES_S),
        )

    async def _obey(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry out one order after the other."""
        while line := await reader.readline():
            order = orjson.loads(line)
            try:
                reply = await self._carry_out(order)
            except (EdgeError, OSError) as error:
                reply = {"ok": False, "reason": str(error)[:REASON_MAX]}
                reply["is_killed"] = isinstance(error, KilledError)
            await _say(writer, {**reply, "number": order["number"]})

    async def _carry_out(self, order: Mapping[str, str]) -> dict[str, object]:
        match order["do"]:
            case "health":
                await self._check_health(order)
            case "accept":
                await self._mates.check_whole()
                await self._mates.order(order)
                tls = self._answering.tls
                context = tls.context if tls else None
                await self._server.accept(self._listener, tls=context)
            case "drain" if self._is_short:
                pass  # it drains already, and ends
            case "drain":
                self._server.stop_accepting()
                await self._mates.order(order)
                self._keep(self._drain())
            case "models":
                describe = partial(describe_models, self._models)
                return {"ok": True, **await asyncio.to_thread(describe)}
            case "recent":
                if not self._config.slot:
                    raise WorkerError("no release of a slot is served")
                await self._mates.order(order)
                path, after_us = Path(order["path"]), int(order["after_us"])
                save = partial(self._answering.save_recent, path, after_us)
                return {"ok": True, **asdict(await asyncio.to_thread(save))}
            case other:
                return {"ok": False, "reason": f"unknown order {other!r}"}
        return {"ok": True}

    async def _check_health(self, order: Mapping[str, str]) -> None:
        """Ask every process whether the slot's release is ready in it.

        Raises:
            WorkerError: It is not, in one of them.
        """
        await self._mates.check_whole()
        if self._config.slot:
            model = self._models.all()[0]
            if not model.is_ready:
                model.try_again()
                raise WorkerError(model.reason)
        await self._mates.order(order, limit_s=HEALTH_S)

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

    @property
    def _release(self) -> str:
        """The slot's release; "" for none."""
        return self._models.all()[0].release if self._config.slot else ""


def _load(config: WorkerConfig, watch: RunWatch) -> Models:
    """Load and prove what the configuration names.

    Raises:
        EdgeError: The slot's release cannot serve here.
    """
    slot = Slots(Path(config.state_dir)).slot(config.slot) if config.slot else None
    repository = Repository(config.models_dir) if config.models_dir else None
    reason = config.reason
    if repository is not None and not repository.all():
        empty = f"PACKHORSE_MODELS_DIR={repository.path} holds no models"
        log("models_missing", reason=empty)
        reason = f"{reason}; {empty}, as <name>/<version>/model.onnx"
    _confine(config, slot, repository)
    return load_models(
        slot,
        repository,
        watch,
        # Another process of the crew would not know what one of them loaded.
        allow_load=config.allow_load and config.processes == 1,
        reason=reason,
        fault="" if slot or config.reason == NO_RELEASE else config.reason,
    )


def _confine(
    config: WorkerConfig, slot: Slot | None, repository: Repository | None
) -> None:
    """Let no request make this worker take the whole machine's memory.

    Where memory runs out all the same, the kernel is to take the worker, which is
    started again, and neither the supervisor nor the agent.
    """
    members = slot.manifest().members if slot else ()
    size = sum(member.length_bytes for member in members)
    size += repository.size_bytes() if repository else 0
    limit = config.limits.memory_max_bytes + MEMORY_PER_BYTE * size
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(OSError):  # a container may not let us
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def _log_mistake(
    _loop: asyncio.AbstractEventLoop, context: Mapping[str, object]
) -> None:
    """Log what nobody caught in the event loop: a mistake of ours."""
    error = context.get("exception")
    reason = str(error or context["message"])[:200]
    log("request_failed", kind=type(error).__name__, reason=reason)


async def _say(writer: asyncio.StreamWriter, document: Mapping[str, object]) -> None:
    writer.write(orjson.dumps(document) + b"\n")
    await writer.drain()


async def _run(
    config: WorkerConfig, models: Models, watch: RunWatch, crew: Crew
) -> int:
    return await Worker(config, models, watch, crew).run()


def run_worker(config: WorkerConfig) -> int:
    """Run one worker; return the exit code of its process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor tells us
    limit_arenas()
    try:
        watch = RunWatch(config.limits.run_s)
        models = _load(config, watch)
        give_back_start_pages()
        gc.freeze()  # what is loaded stays; collections need not walk it again
        crew = fork_crew(config.processes, config.control_fd)
    except EdgeError as error:
        reason = str(error)[:REASON_MAX]
        refusal = orjson.dumps({"ready": False, "reason": reason}) + b"\n"
        socket.socket(fileno=config.control_fd).sendall(refusal)
        return 1
    return _exit_code(uvloop.run(_run(config, models, watch, crew)))


def _exit_code(code: int) -> int:
    """End as a mate did: the supervisor tells a kill from a crash."""
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no other handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code
