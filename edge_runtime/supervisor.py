"""Own the listening socket; start, ready, switch and replace workers.

The socket is open from start to stop, so no client is ever refused while workers
come and go. A switch starts the new worker beside the old one, waits until its
golden samples have run, makes the slot active on disk, lets the new worker accept
and the old one drain. The old one stays warm for a probation time: if the new one
dies within it, the old one accepts again at once and the link goes back. A worker
that was killed from outside is started once more first.

A worker that dies is replaced, after a pause that grows. When a slot's worker
dies or fails to become ready too often, the other slot serves if it holds a
release; else a worker without a release answers 503 and says why, and the slot
is tried again from time to time.
"""

import asyncio
import signal
import socket
import time
from pathlib import Path

from edge_runtime.control import Document, is_inside
from edge_runtime.errors import ControlError, EdgeError, WorkerError
from edge_runtime.log import log
from edge_runtime.settings import NO_RELEASE, ServeSettings
from edge_runtime.shift import Shift
from edge_runtime.slots import Slot, Slots
from edge_runtime.worker_config import config_of
from edge_runtime.worker_process import WorkerProcess, start_worker
from packhorse.strict_json import Fields

CRASHES_MAX = 3
"""Times in a row that a slot's worker may fail before the other slot is asked."""

STABLE_S = 60.0
"""A worker that lived so long does not count as one that fails in a row."""

_PAUSE_S = 0.2
_PAUSE_MAX_S = 10.0


class Supervisor:
    """The workers of one state directory and one listening socket."""

    def __init__(
        self, settings: ServeSettings, slots: Slots, listener: socket.socket
    ) -> None:
        """Take charge; nothing is started before `boot`."""
        self._settings = settings
        self._slots = slots
        self._listener = listener
        self._port = listener.getsockname()[1]
        self._shift = Shift(probation_s=settings.probation_s)
        self._turn = asyncio.Lock()
        self._crashes = 0
        self._rolled_back = ""
        self._pardoned = ""

    async def boot(self) -> None:
        """Serve the active slot, or the best there is."""
        async with self._turn:
            await self._serve_best()

    async def stop(self) -> None:
        """End every worker, each after what it is answering."""
        await self._shift.stop()

    async def obey(self, order: Fields) -> Document:
        """Carry out one order of the control socket.

        Raises:
            EdgeError: It could not be carried out; the message says why.
        """
        match order.text("do"):
            case "status":
                return self.status()
            case "models":
                return await self._worker().order("models")
            case "switch":
                return await self._switch_to(order.text("slot"))
            case "roll_back":
                return await self._roll_back()
            case "recent":
                return await self._save_recent(Path(order.text("path")))
            case other:
                raise ControlError(f"unknown order {other[:80]!r}")

    def status(self) -> Document:
        """Say what serves; `previous` names the slot that is kept warm."""
        current, previous = self._shift.current, self._shift.previous
        return {
            "ok": True,
            "slot": current.slot if current else "",
            "release": current.release if current else "",
            "ready": bool(current and current.release),
            "worker_pid": current.process.pid if current else 0,
            "previous": previous.slot if previous else "",
            "port": self._port,
            "reason": (current.reason if current else "") or self._rolled_back,
        }

    # Orders.

    async def _switch_to(self, name: str) -> Document:
        """Serve a slot; on failure everything stays as it was."""
        slot = self._slots.slot(name)
        begun_s = time.monotonic()
        async with self._turn:
            if not self._serves(slot):
                await self._take_over(slot, await self._start(slot))
                self._rolled_back = self._pardoned = ""
        took_s = time.monotonic() - begun_s
        log(
            "switch_done", slot=name, release=str(slot.release), took_s=round(took_s, 3)
        )
        return {"ok": True, "took_s": took_s}

    async def _roll_back(self) -> Document:
        """Serve what was served before: the warm worker, else the other slot."""
        async with self._turn:
            if self._shift.previous is not None:
                await self._take_back("rolled back as asked")
                return {"ok": True}
            named = self._slots.named()
            if named is None:
                raise ControlError(
                    "nothing serves, so there is nothing to go back from"
                )
            other = self._slots.other(named)
            await self._take_over(other, await self._start(other))
        return {"ok": True}

    async def _save_recent(self, path: Path) -> Document:
        """Have the serving worker write its last requests."""
        if not is_inside(path, self._slots.state_dir):
            raise ControlError("recent requests stay in the state directory")
        return await self._worker().order("recent", path=str(path))

    def _worker(self) -> WorkerProcess:
        worker = self._shift.current
        if worker is None:
            raise ControlError("nothing serves yet")
        return worker

    def _serves(self, slot: Slot) -> bool:
        """Say whether the slot, with what is in it now, serves already."""
        worker, active = self._shift.current, self._slots.active()
        return (
            worker is not None
            and worker.is_alive
            and active == slot
            and worker.slot == slot.name
            and worker.release == str(slot.release)
        )

    # Changing workers. Whoever calls these holds the turn.

    async def _start(self, slot: Slot | None, *, reason: str = "") -> WorkerProcess:
        """Start a worker on a slot, or on none, and wait until it is ready."""
        config = config_of(
            self._settings,
            listener_fd=self._listener.fileno(),
            slot=slot.name if slot else "",
            reason=reason,
        )
        worker = await start_worker(config, ready_s=self._settings.ready_s)
        log("worker_ready", slot=config.slot, release=worker.release)
        return worker

    async def _take_over(self, slot: Slot, worker: WorkerProcess) -> None:
        """Let a ready worker answer for `slot`, now and after a restart."""
        former = self._slots.active()
        try:
            self._slots.activate(slot)
            await self._put_on_duty(worker)
        except (EdgeError, OSError):
            if former is not None:
                self._slots.activate(former)
            await worker.stop()
            raise

    async def _put_on_duty(self, worker: WorkerProcess) -> None:
        await self._shift.hand_to(worker)
        self._shift.spawn(self._watch(worker))

    async def _take_back(self, reason: str) -> None:
        """Let the warm worker answer again, now and after a restart."""
        self._note_fall(await self._shift.take_back(), reason)

    def _note_fall(self, good: WorkerProcess | None, reason: str) -> None:
        """Make what serves again what serves after a restart."""
        if good is None:
            return
        fallen = self._slots.active()
        self._slots.activate(self._slots.slot(good.slot))
        self._rolled_back = f"{fallen.release if fallen else 'a release'}: {reason}"
        log("rolled_back", release=good.release, reason=self._rolled_back)

    async def _watch(self, worker: WorkerProcess) -> None:
        """Replace a worker that ends while it is on duty."""
        code = await worker.exited()
        async with self._turn:
            is_on_duty = worker is self._shift.current
            self._shift.forget(worker)
            if not is_on_duty:
                return
            log("worker_died", slot=worker.slot, release=worker.release, code=code)
            if await self._returned(worker, code):
                return
            self._crashes = 1 if worker.lived_s > STABLE_S else self._crashes + 1
            await asyncio.sleep(_pause_s(self._crashes))
            await self._serve_best()

    async def _returned(self, fallen: WorkerProcess, code: int) -> bool:
        """Go back to the warm worker if there is one; say whether somebody serves."""
        if self._shift.previous is None:
            return False
        try:
            if code == -signal.SIGKILL and self._pardoned != fallen.release:
                await self._pardon(fallen)
            else:
                await self._take_back(f"its worker ended with {code}")
        except (EdgeError, OSError) as error:
            log("roll_back_failed", reason=str(error))
            return False
        return True

    async def _pardon(self, fallen: WorkerProcess) -> None:
        """Start a worker again that was killed from outside, while the warm one serves.

        A release that is to blame, for it takes all memory, is killed again.
        """
        self._pardoned = fallen.release
        await self._shift.take_back()
        slot = self._slots.slot(fallen.slot)
        try:
            await self._put_on_duty(await self._start(slot))
        except (EdgeError, OSError) as error:
            self._note_fall(self._shift.current, str(error))

    # Finding something to serve.

    async def _serve_best(self) -> None:
        """Serve the active slot; the other one if that fails; else say why not."""
        reasons: list[str] = []
        for slot in self._candidates():
            reason = await self._persist(slot)
            if not reason:
                self._rolled_back = "; ".join(reasons)
                return
            reasons.append(reason)
            self._crashes = 0
        await self._serve_nothing("; ".join(reasons))

    def _candidates(self) -> list[Slot]:
        """Return the slots that hold a release, the active one first."""
        slots = self._slots
        first = slots.named() or slots.slot("a")
        return [slot for slot in (first, slots.other(first)) if slot.is_sealed]

    async def _persist(self, slot: Slot) -> str:
        """Try a slot until it serves or has failed too often; say why it did."""
        reason = f"the worker of {slot.release} ended {self._crashes} times in a row"
        while self._crashes < CRASHES_MAX:
            try:
                await self._take_over(slot, await self._start(slot))
            except (EdgeError, OSError) as error:
                self._crashes += 1
                reason = f"{slot.release} does not become ready: {error}"
                log("worker_failed", slot=slot.name, reason=reason)
                await asyncio.sleep(_pause_s(self._crashes))
            else:
                return ""
        return reason

    async def _serve_nothing(self, reason: str) -> None:
        """Answer 503 with the reason, and try the slots again later."""
        if self._shift.current is None:
            try:
                worker = await self._start(None, reason=reason or NO_RELEASE)
                await self._put_on_duty(worker)
            except WorkerError as error:
                reason = str(error)
                log("worker_failed", slot="", reason=reason)
        if reason:
            self._shift.spawn(self._retry_later())

    async def _retry_later(self) -> None:
        await asyncio.sleep(self._settings.retry_s)
        async with self._turn:
            worker = self._shift.current
            if worker is None or not worker.slot:
                await self._serve_best()


def _pause_s(crashes: int) -> float:
    """Return how long to wait after so many failures in a row."""
    return float(min(_PAUSE_MAX_S, _PAUSE_S * 2 ** (crashes - 1)))
