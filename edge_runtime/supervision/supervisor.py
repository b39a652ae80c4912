"""Own the listening socket; obey orders that change what serves, and say what does.

The socket is open from start to stop, so no client is ever refused while workers
come and go. A switch starts the new worker beside the old one, waits until its
golden samples have run, makes the slot active on disk, lets the new worker accept
and the old one drain. The old one stays warm for a probation time, so that going
back takes no time. What befalls a worker meanwhile is guard.py's business.

A model may take long to load. Who changes the release waits for that with `_change`
alone, and takes the guard's turn only for the change itself: a worker that dies
meanwhile is replaced at once.
"""

import asyncio
import socket
import time
from dataclasses import replace
from pathlib import Path

from edge_runtime.errors import ControlError
from edge_runtime.log import log
from edge_runtime.settings.serve_settings import ServeSettings
from edge_runtime.slots import Slot, Slots
from edge_runtime.supervision.control import Document, is_inside
from edge_runtime.supervision.duty import Duty
from edge_runtime.supervision.guard import Guard
from edge_runtime.supervision.handover import BY_HAND, REASON_MAX, Handover, switched
from edge_runtime.supervision.worker_process import WorkerProcess
from packhorse.names import Release, parse_release
from packhorse.strict_json import Fields


class Supervisor:
    """The workers of one state directory and one listening socket."""

    def __init__(
        self, settings: ServeSettings, slots: Slots, listener: socket.socket
    ) -> None:
        """Take charge; nothing is started before `boot`."""
        self._slots = slots
        self._duty = Duty(settings, slots, listener)
        self._guard = Guard(settings, slots, self._duty)
        self._shift = self._duty.shift
        self._change = asyncio.Lock()

    @property
    def starts(self) -> int:
        """How often starting a worker began or ended; it grows with progress."""
        return self._duty.starts

    async def boot(self) -> None:
        """Serve the active slot, or the best there is."""
        await self._guard.boot()

    async def stop(self) -> None:
        """End every worker, each after what it is answering."""
        if self._duty.way_back is not None:
            self._duty.remember(replace(self._duty.handover, boots=0))
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
            case "recent":
                after_us = order.integer("after_us") if "after_us" in order else 0
                return await self._save_recent(Path(order.text("path")), after_us)
            case other:
                return await self._carry_out(other, order)

    async def _carry_out(self, do: str, order: Fields) -> Document:
        """Change what serves, or what may."""
        match do:
            case "switch":
                is_for_good = "is_withdrawal" in order and order.boolean(
                    "is_withdrawal"
                )
                return await self._switch_to(
                    order.text("slot"), is_for_good=is_for_good
                )
            case "roll_back":
                return await self._roll_back(_reason(order) or BY_HAND)
            case "let_go":
                return await self._let_go(order.text("release"), _reason(order))
            case "serve_nothing":
                return await self._withdraw(order.text("release"), _reason(order))
            case other:
                raise ControlError(f"unknown order {other[:80]!r}")

    def status(self) -> Document:
        """Say what serves; `previous` names the slot that it may go back to."""
        current, previous = self._shift.current, self._shift.previous
        former = self._duty.way_back
        return {
            "ok": True,
            "slot": current.slot if current else "",
            "release": current.release if current else "",
            "ready": bool(current and current.release),
            "worker_pid": current.process.pid if current else 0,
            "previous": previous.slot if previous else former.name if former else "",
            "port": self._duty.port,
            "reason": (current.reason if current else "") or self._guard.fallen,
        }

    async def _switch_to(self, name: str, *, is_for_good: bool) -> Document:
        """Serve a slot; on failure everything stays as it was.

        Args:
            name: The slot's.
            is_for_good: Whether what serves now was withdrawn: there is no way back.
        """
        slot = self._slots.slot(name)
        begun_s = time.monotonic()
        async with self._change:
            if not self._duty.serves(slot):
                await self._change_to(slot, is_for_good=is_for_good)
        took_s = time.monotonic() - begun_s
        log(
            "switch_done", slot=name, release=str(slot.release), took_s=round(took_s, 3)
        )
        return {"ok": True, "took_s": took_s}

    async def _change_to(self, slot: Slot, *, is_for_good: bool) -> None:
        """Serve a slot that does not serve."""
        if self._duty.is_warm(slot):
            async with self._guard.turn:
                handover = self._handover_to(slot, None, is_for_good=is_for_good)
                await self._duty.take_back(handover)
                self._guard.forgive()
            return
        worker = await self._duty.start(slot)
        async with self._guard.turn:
            former = self._slots.active()
            handover = self._handover_to(slot, former, is_for_good=is_for_good)
            await self._duty.take_over(slot, worker, handover)
            self._guard.forgive()
            self._guard.watch(worker)

    def _handover_to(
        self, slot: Slot, former: Slot | None, *, is_for_good: bool
    ) -> Handover:
        """Describe a switch to `slot`, with a way back to `former` where one may be."""
        if is_for_good:
            left = self._slots.active()
            reason = f"{left.release if left else 'what served'} was withdrawn"
            return switched(slot.release, None, reason=reason)
        return switched(slot.release, former.release if former else None)

    async def _roll_back(self, reason: str) -> Document:
        """Serve what was served before: by the warm worker, else by a new one."""
        begun_s = time.monotonic()
        async with self._change:
            former = self._former()
            is_warm = self._duty.is_warm(former)
            worker = None if is_warm else await self._duty.start(former)
            async with self._guard.turn:
                await self._guard.go_back(former, reason, worker)
        took_s = time.monotonic() - begun_s
        return {"ok": True, "release": str(former.release), "took_s": took_s}

    def _former(self) -> Slot:
        """Return the slot to go back to.

        Raises:
            ControlError: There is none.
        """
        former, serving = self._duty.former, self._slots.active()
        if former is None:
            raise ControlError(
                f"there is nothing to go back to from {serving.release}"
                if serving
                else "nothing serves, so there is nothing to go back from"
            )
        return former

    async def _let_go(self, name: str, reason: str) -> Document:
        """Never go back to a release that nobody may run; it may be gone already."""
        release = parse_release(name)
        async with self._change, self._guard.turn:
            self._duty.let_go(release, reason)
        log("let_go_done", release=name, reason=reason)
        return {"ok": True}

    async def _withdraw(self, name: str, reason: str) -> Document:
        """Serve nothing instead of a release that nobody may run."""
        release = parse_release(name)
        async with self._change:
            self._check_serves(release)
            worker = await self._duty.start(None, reason=reason)
            async with self._guard.turn:
                await self._duty.withdraw(worker, Handover(None, reason=reason))
                self._guard.forgive()
                self._guard.watch(worker)
        log("serving_nothing", release=name, reason=reason)
        return {"ok": True}

    def _check_serves(self, release: Release) -> None:
        """Refuse to take from service what is not in it."""
        worker, active = self._shift.current, self._slots.active()
        serving = parse_release(worker.release) if worker and worker.release else None
        found = {serving, active.release if active else None} - {None}
        if found - {release}:
            raise ControlError(f"{release} does not serve, {serving or 'nothing'} does")

    async def _save_recent(self, path: Path, after_us: int) -> Document:
        """Have the serving worker write the requests that it noted after that."""
        if not is_inside(path, self._slots.state_dir):
            raise ControlError("recent requests stay in the state directory")
        return await self._worker().order(
            "recent", path=str(path), after_us=str(after_us)
        )

    def _worker(self) -> WorkerProcess:
        worker = self._shift.current
        if worker is None:
            raise ControlError("nothing serves yet")
        return worker


def _reason(order: Fields) -> str:
    """Return why an order was given; "" where it does not say."""
    return order.text("reason")[:REASON_MAX] if "reason" in order else ""
