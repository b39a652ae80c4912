"""What becomes of deployments: logged, reported, remembered, in this order.

A report is spooled before the memory says that its cause is past: it may so be
made twice, and none is lost. Whoever acts is `agent.py`.
"""

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from edge_runtime.agent.decide import Wish
from edge_runtime.agent.machine import Event, Stage, advance
from edge_runtime.agent.memory import Deployment, Memory, MemoryFile, Refusal
from edge_runtime.agent.report import News, Spool
from edge_runtime.agent.stages import Outcome
from edge_runtime.log import log
from packhorse.names import Release
from packhorse.report import DeviceState

SUPERSEDED = "the rollout asks for something else by now"


class Journal:
    """What this gateway did, for the cloud and for the next agent.

    Attributes:
        memory: What is remembered; `save` changes it.
        reported: Set when a report was spooled.
    """

    def __init__(self, file: MemoryFile, spool: Spool) -> None:
        """Begin where the last agent ended."""
        self.reported = threading.Event()
        self._file = file
        self._spool = spool
        self.memory = file.load()

    def begin(self, wish: Wish, valid_until: datetime) -> Deployment:
        """Report what is begun; it counts once it is saved."""
        step = advance(Stage.IDLE, wish.event)
        deployment = Deployment(
            release=wish.release,
            variant=wish.variant,
            bundle=wish.bundle,
            rollout_id=wish.rollout_id,
            stage=step.stage,
            valid_until=valid_until,
        )
        log("deployment_begun", release=str(wish.release), stage=step.stage.value)
        if step.report is not None:
            self._report_about(deployment, step.report)
        return deployment

    def give_up(self, deployment: Deployment) -> None:
        """Report that a deployment ends unfinished."""
        step = advance(deployment.stage, Event.SUPERSEDED)
        log("deployment_superseded", release=str(deployment.release))
        if step.report is not None:
            self._report_about(deployment, step.report, SUPERSEDED)

    def settle(self, deployment: Deployment, outcome: Outcome, took_s: float) -> None:
        """Log, report and remember what became of a stage."""
        step = advance(deployment.stage, outcome.event)
        if outcome.wait and outcome.wait == deployment.wait:
            return  # it was said, and nothing has changed
        log(
            f"{deployment.stage.value}_{outcome.event.value}",
            release=str(deployment.release),
            took_s=round(took_s, 3),
            reason=outcome.reason,
            **outcome.measures,
        )
        if step.report is not None:
            measures = {"took_s": took_s, **outcome.measures}
            self._report_about(deployment, step.report, outcome.reason, measures)
        is_same = step.stage is deployment.stage
        following = replace(
            deployment,
            stage=step.stage,
            attempts=deployment.attempts + outcome.is_counted,
            wait=outcome.wait or (deployment.wait if is_same else ""),
            why=outcome.reason if is_same else "",
        )
        self.save(self._remember(deployment, outcome, following))

    def note_fall(
        self, fallen: Release, release: Release, why: str, *, is_to_blame: bool
    ) -> None:
        """Report that the supervisor went back; the next `save` remembers it.

        Args:
            fallen: What was gone back from.
            release: What serves since.
            why: In words.
            is_to_blame: Whether `fallen` must not be tried again in its rollout.
        """
        step = advance(Stage.IDLE, Event.FELL_BACK)
        rollout_id = self.memory.serving_rollout_id
        reason = f"the supervisor went back to {release}. {why}"
        if step.report is not None:
            self.report(News(step.report, fallen, rollout_id, reason))
        # Saved together with who serves now, so that neither is known alone.
        self.memory = self.memory.without_proof(fallen)
        if is_to_blame:
            refusal = Refusal(fallen, rollout_id, reason)
            self.memory = self.memory.with_refusal(refusal)

    def report(self, news: News) -> None:
        """Spool a report."""
        self._spool.add(news)
        self.reported.set()

    def save(self, memory: Memory) -> None:
        """Remember `memory` over a power cut."""
        if memory != self.memory or not self._file.path.exists():
            self._file.save(memory)
        self.memory = memory

    def _report_about(
        self,
        deployment: Deployment,
        state: DeviceState,
        reason: str = "",
        measures: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.report(
            News(state, deployment.release, deployment.rollout_id, reason, measures)
        )

    def _remember(
        self, deployment: Deployment, outcome: Outcome, following: Deployment
    ) -> Memory:
        """Return the memory after a stage."""
        memory = self.memory
        if following.stage is not Stage.IDLE:
            return replace(memory, deployment=following)
        memory = replace(memory, deployment=None)
        if outcome.event is Event.SUPERSEDED:
            return memory
        if outcome.event in {Event.REFUSED, Event.FELL_BACK}:
            release, rollout_id = deployment.release, deployment.rollout_id
            refusal = Refusal(release, rollout_id, outcome.reason)
            return memory.with_refusal(refusal).without_proof(release)
        return memory.with_serving(deployment.release, deployment.rollout_id)
