"""One look at the truth, and what follows from it on this gateway.

`step` can be ended between, or within, any two of its lines: what it has to know
afterwards is on the disk before it goes on, and a report is spooled before the
memory says that its cause is past. A report may so be made twice; none is lost.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from edge_runtime.agent.decide import (
    NO_RING,
    Gateway,
    decide,
    is_same,
    is_to_serve_nothing,
)
from edge_runtime.agent.discard import discard
from edge_runtime.agent.errors import SupersededError, UnavailableError
from edge_runtime.agent.identity.enroll import Identity, Place
from edge_runtime.agent.identity.rotation import Rotation
from edge_runtime.agent.journal import SUPERSEDED, Journal
from edge_runtime.agent.machine import Event
from edge_runtime.agent.memory import MemoryFile
from edge_runtime.agent.network.tls import TlsContext
from edge_runtime.agent.network.web import open_pool
from edge_runtime.agent.report import News, Spool
from edge_runtime.agent.schedule import Schedule
from edge_runtime.agent.stages import Outcome, Tools, run_stage
from edge_runtime.agent.trust.trust import Trust, Truth
from edge_runtime.agent.witness import Witness
from edge_runtime.errors import ControlError
from edge_runtime.log import log
from edge_runtime.reserve import Reserve
from edge_runtime.settings.agent_settings import AgentSettings
from packhorse.errors import MalformedError, UntrustedError
from packhorse.names import Release
from packhorse.report import DeviceState


class Agent:
    """Brings this gateway to what the signed rollout document gives it.

    Attributes:
        schedule: When to look next.
        reported: Set when a report was spooled.
        on_progress: Called where something was done, also within a long stage.
        is_waiting: Whether the site's own rules hold up what is to be done; then
            `carry_on` is enough, and need not ask the repository.
    """

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
        self.schedule = Schedule(settings.poll_s)
        self.on_progress: Callable[[], None] = lambda: None
        self.is_waiting = False
        self._settings = settings
        self._trust = trust
        site = replace(tools.site, tick=self._progress)
        self._tools = replace(tools, site=site, checkpoint=self._checkpoint)
        self._identity = identity
        # Who could answer these in the cloud's name would do lasting harm: they wait
        # until the certificate's dates can be checked.
        self._web = replace(trust.web, pool=open_pool(TlsContext(settings.ca_file)))
        self._rotation = Rotation(identity, self._web, settings.enroll_url)
        file = MemoryFile(settings.state_dir / "agent" / "memory.json")
        self._journal = Journal(file, spool)
        self.reported = self._journal.reported
        self._witness = Witness(self._journal, self._tools)
        self._reserve = Reserve(settings.state_dir)

    def step(self) -> bool:
        """Look once, and do all that follows; on a full disk, with what was kept.

        Returns:
            Whether all is done; False asks to be called again, after a pause.
        """
        is_done = self._reserve.spend_for(self._look)
        self._reserve.keep()
        return is_done

    def _look(self) -> bool:
        self.schedule.begin()
        self.is_waiting = False
        self._note_key()
        self._enroll()
        self._rotation.carry_on()
        self._witness.look()
        try:
            truth = self._refresh()
        except (UntrustedError, MalformedError) as error:
            # Nothing new is begun or finished on the word of nobody.
            self._complain(str(error))
            return True
        if truth is None:
            return self.carry_on()
        self._follow(truth)
        is_done = self.carry_on(is_fresh=True)
        # What was gone back from may be let go only now.
        discard(truth.document.withdrawn, self._tools)
        return is_done

    def may_start_late(self) -> bool:
        """Say whether the first look can wait a little: something serves already."""
        return self._tools.slots.active() is not None

    def sentence(self) -> str:
        """Say how this gateway stands."""
        return self._journal.memory.sentence()

    def _note_key(self) -> None:
        """Say, again and again, that nobody can sign here; go on without reports."""
        trouble = self._identity.trouble
        if trouble:
            log("key_failed", reason=trouble)
        memory = self._journal.memory
        if trouble != memory.key_trouble:
            self._journal.save(replace(memory, key_trouble=trouble))

    def _enroll(self) -> None:
        """Make this device known, if it is not; serving does not wait for it."""
        settings = self._settings
        if self._identity.is_enrolled or not settings.enroll_token:
            return
        try:
            self._identity.enroll(self._web, settings.enroll_url, settings.enroll_token)
        except UnavailableError as error:
            log("enroll_failed", reason=str(error))
            return
        log("enroll_done", device=settings.device)
        self._journal.report(News(DeviceState.ENROLLED))

    def _refresh(self) -> Truth | None:
        """Return what the repository says now, or None when it says nothing."""
        try:
            return self._trust.refresh(self._settings.model)
        except UnavailableError as error:
            log("poll_failed", reason=str(error))
            return None
        finally:
            self.schedule.be_quiet(self._trust.web.quiet.take_s())

    def _progress(self) -> None:
        self.on_progress()

    def _checkpoint(self) -> None:
        """Say that there is progress, and look at the truth if that is due.

        Raises:
            SupersededError: What is being deployed is no longer asked for.
        """
        self._progress()
        deployment = self._journal.memory.deployment
        if deployment is None or not self.schedule.is_due():
            return
        self.schedule.begin()
        try:
            truth = self._refresh()
        except (UntrustedError, MalformedError) as error:
            log("poll_refused", reason=str(error))
            return
        if truth is None:
            return
        wish = decide(truth.document, self._gateway(), self._journal.memory)
        if not is_same(deployment, wish):
            raise SupersededError(SUPERSEDED)

    def _withdraw(self, release: Release) -> None:
        """Have nothing serve: nobody may run what does."""
        reason = f"{release} was withdrawn, and there is no release to go back to"
        try:
            self._tools.supervisor.serve_nothing(release, reason)
        except ControlError as error:
            log("withdraw_failed", release=str(release), reason=str(error))
            return
        self._witness.look()

    def _follow(self, truth: Truth) -> None:
        """Begin what the truth asks for, unless it is under way."""
        self._witness.recall_fall(truth.document)
        memory = replace(self._journal.memory, complaint="")
        gateway = self._gateway()
        wish = decide(truth.document, gateway, memory)
        deployment = memory.deployment
        if deployment is None or not is_same(deployment, wish):
            if deployment is not None:
                self._journal.give_up(deployment)
            deployment = (
                self._journal.begin(wish, truth.valid_until)
                if wish is not None
                else None
            )
        if deployment is not None:
            deployment = replace(
                deployment,
                valid_until=truth.valid_until,
                is_withdrawal=gateway.active in truth.document.withdrawn,
            )
        self._journal.save(replace(memory, deployment=deployment))
        if gateway.active and is_to_serve_nothing(truth.document, gateway, wish):
            self._withdraw(gateway.active)
        discard(truth.document.withdrawn, self._tools)

    def carry_on(self, *, is_fresh: bool = False) -> bool:
        """Run stages until none is left, one cannot be finished, or a look is due.

        Args:
            is_fresh: Whether the repository was heard just now.

        Returns:
            Whether none is left.
        """
        self.is_waiting = False
        while (deployment := self._journal.memory.deployment) is not None:
            started_at = time.monotonic()
            self.on_progress()
            if not is_fresh and self._trust.clock.now() >= deployment.valid_until:
                reason = "its metadata has expired, and the repository is away"
                outcome = Outcome(Event.WAITING, reason, wait="repository")
            else:
                outcome = run_stage(deployment, self._tools)
            self._journal.settle(deployment, outcome, time.monotonic() - started_at)
            if outcome.event is not Event.DONE or self.schedule.is_due():
                self.is_waiting = bool(outcome.wait)
                is_last = self._journal.memory.deployment is None
                return is_last and outcome.event is Event.DONE
        return True

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
        if reason != self._journal.memory.complaint:
            self._journal.report(News(DeviceState.FAILED, reason=reason))
            self._journal.save(replace(self._journal.memory, complaint=reason))
