"""See what serves, and what the supervisor made of it while nobody looked.

The supervisor goes back by itself, or since a person told it to; it may also have
finished a switch that an earlier agent asked for. Whatever it was is reported, and
remembered: a release that was gone back from is not tried again in its rollout.

Unless it is not whole in its slot any more: that is a disk's word on the disk. And
where the memory was lost, the supervisor's own note says what was gone back from.
"""

from dataclasses import dataclass, replace

from edge_runtime.agent.journal import Journal
from edge_runtime.agent.machine import Event, Stage
from edge_runtime.agent.memory import Refusal
from edge_runtime.agent.report import News
from edge_runtime.agent.stages import Outcome, Tools, run_stage
from edge_runtime.errors import SlotError
from edge_runtime.slots import Slots
from edge_runtime.supervision.handover import Handover, load_handover
from packhorse.assignment import RolloutDocument
from packhorse.names import Release
from packhorse.report import DeviceState


@dataclass(frozen=True, slots=True)
class Witness:
    """Looks at the slots and at the last handover, and keeps the journal right."""

    journal: Journal
    tools: Tools

    def look(self) -> None:
        """See what serves, and whether the supervisor changed that by itself."""
        handover = load_handover(self.tools.slots.state_dir)
        self._notice_fall(handover)
        active = self.tools.slots.active()
        release = active.release if active else None
        memory = self.journal.memory
        deployment = memory.deployment
        if release is None and memory.serving is not None:
            self._notice_nothing(memory.serving, handover)
        if release is None or release == memory.serving:
            return
        if deployment is not None and deployment.release == release:
            # An earlier agent asked for the switch and did not live to hear.
            switched = replace(deployment, stage=Stage.SWITCH)
            self.journal.settle(switched, run_stage(switched, self.tools), 0.0)
            return
        if memory.serving is not None and release in memory.proven:
            why = handover.reason if handover and handover.release == release else ""
            is_whole = _is_whole(memory.serving, self.tools.slots)
            self.journal.note_fall(memory.serving, release, why, is_to_blame=is_whole)
        self.journal.report(News(DeviceState.SERVING, release))
        self.journal.save(self.journal.memory.with_serving(release))

    def recall_fall(self, document: RolloutDocument) -> None:
        """Refuse what was gone back from, where no memory says so.

        A damaged memory names no rollout: it is the one that offers the release now.
        """
        memory = self.journal.memory
        if memory.handover:
            return
        handover = load_handover(self.tools.slots.state_dir)
        if handover is None or handover.fallen is None:
            return
        fallen, candidate = handover.fallen, document.candidate
        is_candidate = candidate is not None and candidate.release == fallen
        rollout_id = document.rollout_id if is_candidate else ""
        refusal = Refusal(fallen, rollout_id, handover.reason)
        memory = memory.with_refusal(refusal).without_proof(fallen)
        self.journal.save(replace(memory, handover=handover.number))

    def _notice_fall(self, handover: Handover | None) -> None:
        """See whether a deployment's release served, and was gone back from.

        Its switch may not have been heard of here before that.
        """
        memory = self.journal.memory
        deployment = memory.deployment
        if handover is None or handover.number == memory.handover:
            return
        if deployment is not None and handover.fallen == deployment.release:
            switched = replace(deployment, stage=Stage.SWITCH)
            # Who asked for it may not have lived to let the site go on.
            site = self.tools.site
            site.after_switch(switched, handover.release, handover.fallen)
            outcome = Outcome(Event.FELL_BACK, handover.reason)
            self.journal.settle(switched, outcome, 0.0)
        elif handover.fallen is not None and not memory.handover:
            return  # `recall_fall` does it, once the truth is known
        self.journal.save(replace(self.journal.memory, handover=handover.number))

    def _notice_nothing(self, former: Release, handover: Handover | None) -> None:
        """Report that nothing serves any more, as it was ordered."""
        if self.tools.slots.named() is not None:
            return  # its slot is damaged, and the supervisor's business
        rollout_id = self.journal.memory.serving_rollout_id
        reason = f"nothing serves. {handover.reason if handover else ''}"
        self.journal.report(News(DeviceState.ROLLED_BACK, former, rollout_id, reason))
        memory = self.journal.memory.without_proof(former)
        self.journal.save(replace(memory, serving=None, serving_rollout_id=""))


def _is_whole(release: Release, slots: Slots) -> bool:
    """Say whether a slot holds the release, and every byte of it is as it was."""
    try:
        return slots.inactive().verify().release == release
    except SlotError:
        return False
