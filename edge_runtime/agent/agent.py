"""One look at the truth, and what follows from it on this gateway.

`step` can be ended between, or within, any two of its lines: what it has to know
afterwards is on the disk before it goes on, and a report is spooled before the
memory says that its cause is past. A report may so be made twice; none is lost.
"""

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from edge_runtime.agent.decide import NO_RING, Gateway, Wish, decide
from edge_runtime.agent.enroll import Identity, Place
from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.machine import Event, Stage, advance
from edge_runtime.agent.memory import Deployment, Memory, MemoryFile, Refusal
from edge_runtime.agent.report import News, Spool
from edge_runtime.agent.stages import Outcome, Tools, run_stage
from edge_runtime.agent.trust import Trust, Truth
from edge_runtime.agent.web import Web
from edge_runtime.agent_settings import AgentSettings
from edge_runtime.errors import ControlError
from edge_runtime.log import log
from packhorse.errors import MalformedError, UntrustedError
from packhorse.names import Release
from packhorse.report import DeviceState


class Agent:
    """Brings this gateway to what the signed rollout document gives it."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        trust: Trust,
        tools: Tools,
        spool: Spool,
        identity: Identity,
    ) -> None:
        """Begin where the last agent ended."""
        self.woken = threading.Event()
        self.reported = threading.Event()
        self._settings = settings
        self._trust = trust
        self._tools = tools
        self._spool = spool
        self._identity = identity
        self._file = MemoryFile(settings.state_dir / "agent" / "memory.json")
        self._memory = self._file.load()

    def step(self) -> bool:
        """Look once, and do all that follows.

        Returns:
            Whether all is done; False asks to be called again, after a pause.
        """
        self.woken.clear()
        self._enroll(self._trust.web)
        self._notice_who_serves()
        try:
            truth = self._refresh()
        except (UntrustedError, MalformedError) as error:
            # Nothing new is begun or finished on the word of nobody.
            self._complain(str(error))
            return True
        if truth is not None:
            self._follow(truth)
        return self._carry_on(is_fresh=truth is not None)

    def _enroll(self, web: Web) -> None:
        """Make this device known, if it is not; serving does not wait for it."""
        settings = self._settings
        if self._identity.is_enrolled or not settings.enroll_token:
            return
        try:
            self._identity.enroll(web, settings.enroll_url, settings.enroll_token)
        except UnavailableError as error:
            log("enroll_failed", reason=str(error))
            return
        log("enroll_done", device=settings.device)
        self._report(News(DeviceState.ENROLLED))

    def _refresh(self) -> Truth | None:
        """Return what the repository says now, or None when it says nothing."""
        try:
            return self._trust.refresh(self._settings.model)
        except UnavailableError as error:
            log("poll_failed", reason=str(error))
            return None

    def _notice_who_serves(self) -> None:
        """See what serves, and whether the supervisor changed that by itself."""
        active = self._tools.slots.active()
        release = active.release if active else None
        memory = self._memory
        deployment = memory.deployment
        if release is None or release == memory.serving:
            return
        if deployment is not None and deployment.release == release:
            # An earlier agent asked for the switch and did not live to hear.
            switched = replace(deployment, stage=Stage.SWITCH)
            self._settle(switched, Outcome(Event.DONE), 0.0)
            return
        if memory.serving is not None and release in memory.proven:
            self._note_fall(memory.serving, release)
        self._report(News(DeviceState.SERVING, release))
        self._save(self._memory.with_serving(release))

    def _note_fall(self, fallen: Release, release: Release) -> None:
        """Report that the supervisor went back, and do not try that release again."""
        step = advance(Stage.IDLE, Event.FELL_BACK)
        rollout_id = self._memory.serving_rollout_id
        reason = f"the supervisor went back to {release}. {self._supervisors_word()}"
        if step.report is not None:
            self._report(News(step.report, fallen, rollout_id, reason))
        refusal = Refusal(fallen, rollout_id, reason)
        # Saved together with who serves now, so that neither is known alone.
        self._memory = self._memory.with_refusal(refusal).without_proof(fallen)

    def _supervisors_word(self) -> str:
        """Return the supervisor's own reason, if it can be had."""
        try:
            return self._tools.supervisor.status().reason
        except ControlError:
            return ""

    def _follow(self, truth: Truth) -> None:
        """Begin what the truth asks for, unless it is under way."""
        memory = replace(self._memory, complaint="")
        wish = decide(truth.document, self._gateway(), memory)
        deployment = memory.deployment
        if deployment is not None and _is_same(deployment, wish):
            deployment = replace(deployment, valid_until=truth.valid_until)
        else:
            if deployment is not None:
                advance(deployment.stage, Event.SUPERSEDED)
                log("deployment_superseded", release=str(deployment.release))
            deployment = _begin(wish, truth) if wish is not None else None
        self._save(replace(memory, deployment=deployment))
        self._discard(truth.document.withdrawn)

    def _discard(self, withdrawn: Collection[Release]) -> None:
        """Empty the other slot of what nobody may run.

        The supervisor would serve it if the active release broke.
        """
        slot = self._tools.slots.inactive()
        if slot.release not in withdrawn:
            return
        try:
            status = self._tools.supervisor.status()
        except ControlError:
            return  # not known whether it is in use; there is a next time
        if slot.name not in {status.slot, status.previous}:
            log("slot_emptied", slot=slot.name, release=str(slot.release))
            slot.clear()

    def _carry_on(self, *, is_fresh: bool) -> bool:
        """Run stages until none is left, one cannot be finished, or a notice comes."""
        while (deployment := self._memory.deployment) is not None:
            if not is_fresh and datetime.now(UTC) >= deployment.valid_until:
                log("deployment_waits", reason="its metadata has expired")
                return False
            started_at = time.monotonic()
            outcome = run_stage(deployment, self._tools)
            took_s = time.monotonic() - started_at
            self._settle(deployment, outcome, took_s)
            if outcome.event is not Event.DONE or self.woken.is_set():
                return False
        return True

    def _settle(self, deployment: Deployment, outcome: Outcome, took_s: float) -> None:
        """Log, report and remember what became of a stage."""
        step = advance(deployment.stage, outcome.event)
        stage, release = deployment.stage.value, str(deployment.release)
        log(
            f"{stage}_{outcome.event.value}",
            release=release,
            took_s=round(took_s, 3),
            reason=outcome.reason,
            **outcome.measures,
        )
        if step.report is not None:
            measures = {"took_s": took_s, **outcome.measures}
            self._report_about(deployment, step.report, outcome.reason, measures)
        attempts = deployment.attempts + outcome.is_counted
        following = replace(deployment, stage=step.stage, attempts=attempts)
        self._save(self._remember(deployment, outcome, following))

    def _remember(
        self, deployment: Deployment, outcome: Outcome, following: Deployment
    ) -> Memory:
        """Return the memory after a stage."""
        memory = self._memory
        if following.stage is not Stage.IDLE:
            return replace(memory, deployment=following)
        memory = replace(memory, deployment=None)
        if outcome.event is Event.REFUSED:
            release, rollout_id = deployment.release, deployment.rollout_id
            refusal = Refusal(release, rollout_id, outcome.reason)
            return memory.with_refusal(refusal).without_proof(release)
        return memory.with_serving(deployment.release, deployment.rollout_id)

    def _gateway(self) -> Gateway:
        slots, settings, place = self._tools.slots, self._settings, self._place()
        active = slots.active()
        return Gateway(
            device=settings.device,
            ring=place.ring,
            enrolled_at=place.enrolled_at,
            variants=settings.variants,
            active=active.release if active else None,
            other=slots.inactive().release,
        )

    def _place(self) -> Place:
        """Return where the cloud counts this gateway.

        One that is still to enrol is in none: the gate would not hear how it fares.
        """
        settings = self._settings
        if not self._identity.is_enrolled and settings.enroll_token:
            return Place(NO_RING)
        return self._identity.place(settings.ring)

    def _complain(self, reason: str) -> None:
        """Tell, once, that the repository is not to be trusted."""
        log("poll_refused", reason=reason)
        if reason != self._memory.complaint:
            self._report(News(DeviceState.FAILED, reason=reason))
            self._save(replace(self._memory, complaint=reason))

    def _report_about(
        self,
        deployment: Deployment,
        state: DeviceState,
        reason: str,
        measures: Mapping[str, float],
    ) -> None:
        self._report(
            News(state, deployment.release, deployment.rollout_id, reason, measures)
        )

    def _report(self, news: News) -> None:
        self._spool.add(news)
        self.reported.set()

    def _save(self, memory: Memory) -> None:
        if memory != self._memory or not self._file.path.exists():
            self._file.save(memory)
        self._memory = memory


def _begin(wish: Wish, truth: Truth) -> Deployment:
    return Deployment(
        release=wish.release,
        variant=wish.variant,
        bundle=wish.bundle,
        rollout_id=wish.rollout_id,
        stage=advance(Stage.IDLE, wish.event).stage,
        valid_until=truth.valid_until,
    )


def _is_same(deployment: Deployment, wish: Wish | None) -> bool:
    """Say whether `wish` is what is being deployed already."""
    return wish is not None and (
        (wish.release, wish.bundle, wish.rollout_id)
        == (deployment.release, deployment.bundle, deployment.rollout_id)
    )
