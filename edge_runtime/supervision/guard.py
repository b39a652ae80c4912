"""See to it that something serves: whatever becomes of a worker, one comes after it.

A release on probation whose worker dies, or is not well (probation.py), is gone back
from at once: the worker before it is warm. A worker that was killed from outside is
started once more first. Else a worker that dies is replaced, after a pause that
grows. When a slot's worker dies or fails to become ready too often, the other slot
serves if it holds a release; else a worker without a release answers 503 and says
why, and the slot is tried again from time to time. So it is, too, when the
supervisor itself, or the whole machine, ends again and again on one probation.
"""

import asyncio
import signal
from dataclasses import replace

from edge_runtime.errors import EdgeError, KilledError, WorkerError
from edge_runtime.log import log
from edge_runtime.settings.serve_settings import ServeSettings
from edge_runtime.slots import Slot, Slots
from edge_runtime.supervision.duty import Duty
from edge_runtime.supervision.handover import gone_back
from edge_runtime.supervision.probation import Probation
from edge_runtime.supervision.worker_process import WorkerProcess

CRASHES_MAX = 3
"""Times in a row that a slot's worker may fail before the other slot is asked; so
often, too, may the supervisor begin on one probation."""

STABLE_S = 60.0
"""A worker that lived so long does not count as one that fails in a row."""

_PAUSE_S = 0.2
_PAUSE_MAX_S = 10.0

_LOOK_S = 5.0
_HUNG_S = 30.0
"""A worker that obeys nothing for so long has a fault of ours; it is replaced."""


class Guard:
    """Watches who is on duty.

    Attributes:
        turn: Held by whoever changes the worker on duty.
        fallen: Why something else serves than should, for those who ask.
    """

    def __init__(self, settings: ServeSettings, slots: Slots, duty: Duty) -> None:
        """Watch nobody yet."""
        self.turn = asyncio.Lock()
        self.fallen = ""
        self._settings = settings
        self._slots = slots
        self._duty = duty
        self._shift = duty.shift
        self._probation = Probation(settings.probation_s, settings.health, duty.port)
        self._crashes = 0
        self._pardoned = ""

    async def boot(self) -> None:
        """Serve the active slot, or the best there is."""
        async with self.turn:
            self._count_boot()
            await self._serve_best()

    def watch(self, worker: WorkerProcess) -> None:
        """Look after a worker that has just been put on duty."""
        self._shift.spawn(self._replace(worker))
        self._shift.spawn(self._end_if_hung(worker))
        if self._duty.way_back is not None:
            self._shift.spawn(self._judge(worker))

    def forgive(self) -> None:
        """Forget what befell former releases."""
        self.fallen = self._pardoned = ""

    async def go_back(
        self, slot: Slot, reason: str, worker: WorkerProcess | None = None
    ) -> None:
        """Serve what was served before.

        Args:
            slot: What was served.
            reason: Why it is gone back to.
            worker: Ready to serve it; None for the warm one, else for a new one.

        Raises:
            EdgeError: It does not become ready; what served goes on.
        """
        handover = gone_back(self._slots.active(), slot, reason)
        if worker is None and self._duty.is_warm(slot):
            await self._duty.take_back(handover)
        else:
            worker = worker or await self._duty.start(slot)
            await self._duty.take_over(slot, worker, handover)
            self.watch(worker)
        self.fallen = f"{handover.fallen}: {reason}"
        log("rolled_back", release=str(handover.release), reason=self.fallen)

    # What may befall a worker.

    async def _replace(self, worker: WorkerProcess) -> None:
        """Replace a worker that ends while it is on duty."""
        code = await worker.exited()
        async with self.turn:
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

    async def _judge(self, worker: WorkerProcess) -> None:
        """Go back from a release that does not pass its probation."""
        try:
            verdict = await self._probation.verdict(
                worker, lambda: worker is self._shift.current
            )
        except KilledError:
            async with self.turn:
                if worker is self._shift.current:
                    await self._returned(worker, -signal.SIGKILL)
            return
        async with self.turn:
            if worker is not self._shift.current:
                return
            former = self._duty.former
            if not verdict or former is None:
                self._pass(worker)
                return
            try:
                await self.go_back(former, verdict)
            except (EdgeError, OSError) as error:
                log("roll_back_failed", reason=str(error))

    def _pass(self, worker: WorkerProcess) -> None:
        log("probation_over", slot=worker.slot, release=worker.release)
        self._shift.let_go()
        self._duty.remember(replace(self._duty.handover, on_probation=False, boots=0))

    async def _end_if_hung(self, worker: WorkerProcess) -> None:
        """End a worker that does not obey any more; `_replace` does the rest."""
        while worker.is_alive:
            await asyncio.sleep(_LOOK_S)
            if worker is not self._shift.current:
                continue
            try:
                await worker.order("health", limit_s=_HUNG_S)
            except WorkerError as error:
                log("worker_hung", slot=worker.slot, reason=str(error))
                worker.kill()

    async def _returned(self, fallen: WorkerProcess, code: int) -> bool:
        """Go back to the warm worker if there is one; say whether somebody serves."""
        warm = self._shift.previous
        if warm is None:
            return False
        slot = self._slots.slot(warm.slot)
        try:
            if code == -signal.SIGKILL and self._pardoned != fallen.release:
                await self._pardon(fallen, slot)
            else:
                await self.go_back(slot, f"its worker ended with {code}")
        except (EdgeError, OSError) as error:
            log("roll_back_failed", reason=str(error))
            return False
        return True

    async def _pardon(self, fallen: WorkerProcess, former: Slot) -> None:
        """Start a worker again that was killed from outside, while the warm one serves.

        A release that is to blame, for it takes all memory, is killed again.
        """
        self._pardoned = fallen.release
        await self._shift.take_back()
        slot = self._slots.slot(fallen.slot)
        try:
            worker = await self._duty.start(slot)
            await self._shift.hand_to(worker)
            self.watch(worker)
        except (EdgeError, OSError) as error:
            self._duty.write(former, gone_back(slot, former, str(error)))
            self.fallen = f"{fallen.release}: {error}"

    # Finding something to serve.

    def _count_boot(self) -> None:
        """Leave a release on whose probation the supervisor begins too often."""
        active, former = self._slots.active(), self._duty.way_back
        known = self._duty.handover
        if active and known.fallen and known.release == active.release:
            self.fallen = f"{known.fallen}: {known.reason}"
        if active is None or former is None:
            return
        if known.boots < CRASHES_MAX:
            self._duty.remember(replace(known, boots=known.boots + 1))
            return
        reason = f"the gateway ended {known.boots} times on its probation"
        self._duty.write(former, gone_back(active, former, reason))
        self.fallen = f"{active.release}: {reason}"
        log("rolled_back", release=str(former.release), reason=self.fallen)

    async def _serve_best(self) -> None:
        """Serve the active slot; the other one if that fails; else say why not."""
        reasons = self._damage()
        for slot in self._candidates():
            reason = await self._persist(slot, "; ".join(reasons))
            if not reason:
                self.fallen = "; ".join(reasons) or self.fallen
                return
            reasons.append(reason)
            self._crashes = 0
        await self._serve_nothing("; ".join(reasons))

    def _damage(self) -> list[str]:
        """Say that the slot which should serve is damaged, if it is."""
        slot = self._slots.named()
        if slot is None or slot.is_sealed:
            return []
        return [f"slot {slot.name} should serve, and its files are damaged or gone"]

    def _candidates(self) -> list[Slot]:
        """Return the slots that hold a release, the active one first.

        Without a link none is to serve: what lies in a slot was never tried, or was
        withdrawn.
        """
        first = self._slots.named()
        if first is None:
            return []
        slots = (first, self._slots.other(first))
        return [slot for slot in slots if slot.is_sealed]

    async def _persist(self, slot: Slot, fallen: str) -> str:
        """Try a slot until it serves or has failed too often; say why it did.

        Args:
            slot: Holds a release.
            fallen: Why the other slot, which should serve, does not; empty where
                this one should.
        """
        reason = f"the worker of {slot.release} ended {self._crashes} times in a row"
        while self._crashes < CRASHES_MAX:
            try:
                await self._bring_up(slot, fallen)
            except (EdgeError, OSError) as error:
                self._crashes += 1
                reason = f"{slot.release} does not become ready: {error}"
                log("worker_failed", slot=slot.name, reason=reason)
                await asyncio.sleep(_pause_s(self._crashes))
            else:
                return ""
        return reason

    async def _bring_up(self, slot: Slot, fallen: str) -> None:
        handover = None
        if fallen:
            handover = gone_back(self._slots.named(), slot, fallen)
        worker = await self._duty.start(slot)
        await self._duty.take_over(slot, worker, handover)
        self.watch(worker)

    async def _serve_nothing(self, reason: str) -> None:
        """Answer 503 with the reason, and try the slots again later."""
        if self._shift.current is None:
            try:
                self.watch(await self._duty.serve_nothing(reason))
            except WorkerError as error:
                reason = str(error)
                log("worker_failed", slot="", reason=reason)
        if reason:
            self._shift.spawn(self._retry_later())

    async def _retry_later(self) -> None:
        await asyncio.sleep(self._settings.retry_s)
        async with self.turn:
            worker = self._shift.current
            if worker is None or not worker.slot:
                await self._serve_best()


def _pause_s(crashes: int) -> float:
    """Return how long to wait after so many failures in a row."""
    return float(min(_PAUSE_MAX_S, _PAUSE_S * 2 ** (crashes - 1)))
