"""Change what serves: here, at once, and on the disk, for after a restart.

A release takes over in this order: its worker is ready; the handover is written;
the link names its slot; the worker accepts, and the one before drains. What goes
back is in a hurry: the warm worker accepts first, and the disk follows, again and
again if it has to. Whoever calls these holds the supervisor's turn.
"""

import asyncio
import socket
from dataclasses import replace
from functools import partial

from edge_runtime import durable
from edge_runtime.errors import EdgeError
from edge_runtime.log import log
from edge_runtime.reserve import Reserve
from edge_runtime.settings.serve_settings import NO_RELEASE, ServeSettings
from edge_runtime.slots import Slot, Slots
from edge_runtime.supervision.handover import (
    Handover,
    former_slot,
    load_handover,
    save_handover,
)
from edge_runtime.supervision.shift import Shift
from edge_runtime.supervision.worker_process import WorkerProcess, start_worker
from edge_runtime.worker_config import config_of
from packhorse.names import Release


class Duty:
    """Who serves from one state directory and one listening socket.

    Attributes:
        shift: The workers.
        handover: How what serves came to, as far as it is known.
        starts: Workers started until now, and those that became ready or did not:
            it grows as long as there is progress.
    """

    def __init__(
        self, settings: ServeSettings, slots: Slots, listener: socket.socket
    ) -> None:
        """Begin with what is remembered; nobody is on duty."""
        self.shift = Shift()
        self.handover = load_handover(settings.state_dir) or Handover(None)
        self._settings = settings
        self._slots = slots
        self._listener = listener
        self._reserve = Reserve(settings.state_dir)
        self.starts = 0

    # What is so.

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listener.getsockname()[1])

    @property
    def former(self) -> Slot | None:
        """The slot to go back to, or None."""
        return former_slot(self._slots, self.handover)

    @property
    def way_back(self) -> Slot | None:
        """The slot to go back to while what the link names is watched, or None."""
        return self.former if self.handover.on_probation else None

    def serves(self, slot: Slot) -> bool:
        """Say whether the slot, with what is in it now, serves already."""
        return self._slots.active() == slot and _runs(self.shift.current, slot)

    def is_warm(self, slot: Slot) -> bool:
        """Say whether the warm worker serves what is in the slot."""
        return _runs(self.shift.previous, slot)

    # What changes it.

    async def start(self, slot: Slot | None, *, reason: str = "") -> WorkerProcess:
        """Start a worker on a slot, or on none, and wait until it is ready."""
        config = config_of(
            self._settings,
            listener_fd=self._listener.fileno(),
            slot=slot.name if slot else "",
            reason=reason,
        )
        self.starts += 1
        try:
            worker = await start_worker(config, ready_s=self._settings.ready_s)
        finally:
            self.starts += 1
        log("worker_ready", slot=config.slot, release=worker.release)
        return worker

    async def take_over(
        self, slot: Slot, worker: WorkerProcess, handover: Handover | None = None
    ) -> None:
        """Let a ready worker answer for `slot`, now and after a restart.

        Args:
            slot: What the worker serves.
            worker: Is ended when this fails; then all is as it was.
            handover: How it came to that; None where it serves on or again.
        """
        link, known = self._slots.named(), self.handover
        try:
            self._name(slot, handover)
            # Without a probation nobody would ever end the former worker.
            keeps_warm = handover is not None and handover.on_probation
            await self.shift.hand_to(worker, keeps_warm=keeps_warm)
        except (EdgeError, OSError):
            if not self._is_put_back(link, known):
                self.shift.spawn(self._put_back_later(link, known))
            await worker.stop()
            raise

    async def take_back(self, handover: Handover) -> None:
        """Let the warm worker answer again, now and after a restart."""
        good = await self.shift.take_back()
        self.write(self._slots.slot(good.slot), handover)

    def write(self, slot: Slot, handover: Handover) -> None:
        """Write down what serves; once the disk takes it, if it does not now."""
        self.handover = handover
        if not self._is_written(slot, handover):
            self.shift.spawn(self._write_later(slot, handover))

    def let_go(self, release: Release, reason: str) -> None:
        """End the warm worker of a release, and do not go back to it any more."""
        warm = self.shift.previous
        if warm is not None and warm.release == str(release):
            self.shift.let_go()
        known = self.handover
        if known.former == release:
            # What this process knows counts until it ends, whatever the disk takes.
            self.handover = replace(
                known, former=None, on_probation=False, boots=0, reason=reason
            )
            self.remember(self.handover)

    async def withdraw(self, worker: WorkerProcess, handover: Handover) -> None:
        """Serve nothing, now and after a restart.

        Args:
            worker: Has no release, and says why.
            handover: Says it after a restart.
        """
        await self.shift.hand_to(worker, keeps_warm=False)
        self.remember(handover)
        durable.unlink(self._slots.link)

    async def serve_nothing(self, reason: str) -> WorkerProcess:
        """Have a worker without a release say why there is none."""
        known = self.handover.reason if self._slots.named() is None else ""
        worker = await self.start(None, reason=reason or known or NO_RELEASE)
        await self.shift.hand_to(worker)
        return worker

    def remember(self, handover: Handover) -> None:
        """Note something about what serves; a disk that refuses changes nothing."""
        try:
            self._remember(handover)
        except OSError as error:
            log("handover_not_saved", reason=error.strerror)

    def _remember(self, handover: Handover) -> None:
        state_dir = self._settings.state_dir
        self._reserve.spend_for(partial(save_handover, state_dir, handover))
        self.handover = handover

    def _activate(self, slot: Slot) -> None:
        self._reserve.spend_for(partial(self._slots.activate, slot))

    def _name(self, slot: Slot, handover: Handover | None) -> None:
        """Write down what is about to serve.

        The link must not name what does not serve. So a disk that names the slot, and
        takes neither the flush of that nor the former name, is gone on with.
        """
        link, known = self._slots.named(), self.handover
        try:
            if handover is not None:
                self._remember(handover)
            self._activate(slot)
        except OSError as error:
            is_undone = self._is_put_back(link, known)
            if is_undone or link == slot or self._slots.named() != slot:
                raise
            log("switch_not_durable", reason=error.strerror)
            self.handover = handover or known
            self.shift.spawn(self._write_later(slot, self.handover))

    def _is_put_back(self, link: Slot | None, known: Handover) -> bool:
        """Undo on the disk what was not carried out; say whether it took that."""
        self.handover = known
        try:
            if link is None:
                durable.unlink(self._slots.link)
            elif link.is_sealed:
                self._activate(link)
            if load_handover(self._settings.state_dir) not in {None, known}:
                self._remember(known)
        except (EdgeError, OSError) as error:
            log("switch_not_undone", reason=str(error))
            return False
        return True

    async def _put_back_later(self, link: Slot | None, known: Handover) -> None:
        """Undo it once the disk takes that, unless something else serves then."""
        serving, is_done = self.shift.current, False
        while not is_done:
            await asyncio.sleep(self._settings.retry_s)
            if self.shift.current is not serving or self.handover is not known:
                return
            is_done = self._is_put_back(link, known)

    def _is_written(self, slot: Slot, handover: Handover) -> bool:
        """Write down what serves; say whether the disk took it."""
        try:
            self._remember(handover)
            self._activate(slot)
        except (EdgeError, OSError) as error:
            log("roll_back_not_durable", reason=str(error))
            return False
        return True

    async def _write_later(self, slot: Slot, handover: Handover) -> None:
        """Write it down once the disk takes it, unless something else serves then."""
        is_written = False
        while self.handover is handover and not is_written:
            await asyncio.sleep(self._settings.retry_s)
            is_written = self._is_written(slot, handover)


def _runs(worker: WorkerProcess | None, slot: Slot) -> bool:
    """Say whether a worker is there, with what is in the slot now."""
    return (
        worker is not None
        and worker.is_alive
        and worker.slot == slot.name
        and worker.release == str(slot.release)
    )
