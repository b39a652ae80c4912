"""Run one stage of a deployment, and say in one word what became of it.

Each stage is a module of its own; this one only leads the deployment to it and
turns its errors into events of the state table. Nothing here is remembered.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from edge_runtime.agent.archive import Archive
from edge_runtime.agent.errors import (
    DamagedError,
    FellBackError,
    NotSwitchedError,
    ReleaseRefusedError,
    SupersededError,
    TryError,
    UnavailableError,
    WaitError,
)
from edge_runtime.agent.install import install_bundle
from edge_runtime.agent.machine import Event, Stage
from edge_runtime.agent.memory import Deployment
from edge_runtime.agent.pull import Downloads
from edge_runtime.agent.site import Site
from edge_runtime.agent.switch import Supervisor, serve_slot
from edge_runtime.agent.trial.try_out import check_runtime_takes, try_release
from edge_runtime.agent.verify import verify_bundle
from edge_runtime.errors import ControlError, NoSupervisorError, SlotError
from edge_runtime.reserve import is_full
from edge_runtime.settings.agent_settings import ShadowSettings
from edge_runtime.slots import NAMES, Slot, Slots
from packhorse.errors import UntrustedError
from packhorse.names import Release

EXHAUSTED_AFTER = 5
"""Failures of this gateway's own, not of the network, before the cloud hears."""

CHECK_SITE_S = 60.0
"""Between two questions to the site while a bundle comes: may it go on?"""

Measures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tools:
    """What the stages work with.

    Attributes:
        checkpoint: Called by whatever takes long, again and again, at least every
            few seconds: it says that there is progress, and looks at the truth when
            that is due. It raises `SupersededError` when the stage is not wanted
            any more.
    """

    slots: Slots
    downloads: Downloads
    supervisor: Supervisor
    archive: Archive
    site: Site
    checkpoint: Callable[[], None] = lambda: None
    shadow: ShadowSettings = field(default_factory=ShadowSettings)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a stage.

    Attributes:
        is_counted: Whether a failure is this gateway's own; a network that is
            away is nothing that the release or the gateway did wrong.
        wait: Which rule of the site says "not now".
    """

    event: Event
    reason: str = ""
    measures: Measures = field(default_factory=lambda: MappingProxyType({}))
    is_counted: bool = False
    wait: str = ""


_TROUBLES = (
    DamagedError,
    NotSwitchedError,
    ReleaseRefusedError,
    SupersededError,
    TryError,
    UnavailableError,
    WaitError,
    UntrustedError,
    ControlError,
    SlotError,
    OSError,
)
_EVENTS = (
    (WaitError, Event.WAITING),
    # Serving is stopped, or starts again: no word on the release.
    (NoSupervisorError, Event.WAITING),
    (SupersededError, Event.SUPERSEDED),
    (FellBackError, Event.FELL_BACK),
    (ReleaseRefusedError, Event.REFUSED),
    (DamagedError, Event.DAMAGED),
)
_NOT_COUNTED = (
    *(WaitError, NoSupervisorError),
    *(SupersededError, ReleaseRefusedError, UnavailableError),
)


def run_stage(deployment: Deployment, tools: Tools) -> Outcome:
    """Do what `deployment.stage` says, once."""
    try:
        if not _serves(deployment, tools):
            tools.site.check(deployment)
        measures = _STAGES[deployment.stage](deployment, tools)
    except _TROUBLES as error:
        return _outcome_of(error, deployment)
    return Outcome(Event.DONE, measures=measures)


def _outcome_of(error: Exception, deployment: Deployment) -> Outcome:
    """Turn a stage's error into an event of the state table."""
    event = next((e for kind, e in _EVENTS if isinstance(error, kind)), Event.FAILED)
    is_counted = not isinstance(error, _NOT_COUNTED)
    is_last = deployment.attempts + 1 == EXHAUSTED_AFTER
    wait = ""
    if isinstance(error, WaitError):
        event, wait = Event.HELD if error.is_hold else event, error.kind
    elif isinstance(error, NoSupervisorError):
        wait = "supervisor"
    if event is Event.FAILED and is_counted and is_last:
        event = Event.EXHAUSTED
    measures = error.measures if isinstance(error, ReleaseRefusedError) else {}
    return Outcome(event, str(error), measures, is_counted=is_counted, wait=wait)


def _pull(deployment: Deployment, tools: Tools) -> Measures:
    bundle, path = deployment.bundle, tools.downloads.path(deployment.bundle)
    if not path.is_file():
        tools.archive.give_back(bundle.sha256, path)
    downloads = replace(tools.downloads, checkpoint=_watched(deployment, tools))
    while True:
        try:
            downloads.pull(bundle)
        except OSError as error:
            needed = _needed(tools.slots)
            if not is_full(error) or not tools.archive.make_room(needed):
                raise
        else:
            return {"bundle_bytes": float(bundle.length_bytes)}


def _watched(deployment: Deployment, tools: Tools) -> Callable[[], None]:
    """Return the checkpoint of a download: the site may want it stopped."""
    checked_s = time.monotonic()

    def checkpoint() -> None:
        nonlocal checked_s
        tools.checkpoint()
        if time.monotonic() - checked_s > CHECK_SITE_S:
            tools.site.check(deployment)
            checked_s = time.monotonic()

    return checkpoint


def _verify(deployment: Deployment, tools: Tools) -> Measures:
    try:
        path = tools.downloads.path(deployment.bundle)
        manifest = verify_bundle(path, deployment)
    except DamagedError:
        tools.downloads.remove(deployment.bundle)
        raise
    check_runtime_takes(manifest.needs)
    return {}


def _install(deployment: Deployment, tools: Tools) -> Measures:
    slot = tools.slots.inactive()
    _check_unused(slot, tools.supervisor)
    install_bundle(tools.downloads.path(deployment.bundle), slot)
    return {}


def _try(deployment: Deployment, tools: Tools) -> Measures:
    slot = _candidate(deployment, tools)
    # It is installed, so its archive is not needed again soon.
    path = tools.downloads.path(deployment.bundle)
    tools.archive.take_in(path, deployment.release, deployment.variant)
    tools.archive.collect(_needed(tools.slots))
    tools.downloads.remove_all_but(None)
    active = tools.slots.active()
    return try_release(slot, active, tools.supervisor, tools.shadow, tools.checkpoint)


def _switch(deployment: Deployment, tools: Tools) -> Measures:
    if _serves(deployment, tools):
        # The supervisor finished what an earlier run of this stage asked for.
        _finish_switch(deployment, tools)
        return {}
    slot, active = _candidate(deployment, tools), tools.slots.active()
    former = active.release if active else None
    # Before the site stops anything for a switch that nobody could do.
    tools.supervisor.status()
    tools.site.before_switch(deployment, former)
    try:
        took_s = serve_slot(
            tools.supervisor,
            slot,
            deployment.release,
            is_withdrawal=deployment.is_withdrawal,
        )
    except (NotSwitchedError, ReleaseRefusedError):
        # What the script before stopped may go on, with what serves as before.
        tools.site.after_switch(deployment, former, former)
        raise
    _finish_switch(deployment, tools)
    return {"switch_s": took_s}


def _serves(deployment: Deployment, tools: Tools) -> bool:
    """Say whether the release that is to be switched to serves already."""
    active = tools.slots.active()
    is_last = deployment.stage is Stage.SWITCH
    return is_last and active is not None and active.release == deployment.release


def _finish_switch(deployment: Deployment, tools: Tools) -> None:
    """Run the site's script after a switch, and go back if it fails.

    Raises:
        FellBackError: It failed, and the former release serves again.
        ReleaseRefusedError: It failed, and there is nothing to go back to.
        ControlError: It failed, and the supervisor is not there.
        NotSwitchedError: It failed, and the way back is not open now.
    """
    release = deployment.release
    former = next((r for r in _needed(tools.slots) if r not in {None, release}), None)
    failure = tools.site.after_switch(deployment, release, former)
    if not failure:
        return
    is_back = former is not None and tools.supervisor.roll_back(failure)
    # It may also have gone back by itself meanwhile.
    if not is_back and _serves(deployment, tools):
        raise ReleaseRefusedError(f"{failure}; it serves on, for want of another")
    tools.site.after_switch(deployment, former, release)
    raise FellBackError(f"{failure}; {former} serves again")


def _needed(slots: Slots) -> Collection[Release | None]:
    """Return what lies in the slots: the active release, and the other one."""
    return {slots.slot(name).release for name in NAMES}


def _candidate(deployment: Deployment, tools: Tools) -> Slot:
    """Return the slot that holds the release, whole.

    Raises:
        DamagedError: None does.
    """
    slot = tools.slots.inactive()
    try:
        release = slot.verify().release
    except SlotError as error:
        raise DamagedError(f"{deployment.release} is not whole in its slot") from error
    if release != deployment.release:
        raise DamagedError(
            f"slot {slot.name} should hold {deployment.release}, it holds {release}"
        )
    return slot


def _check_unused(slot: Slot, supervisor: Supervisor) -> None:
    """Wait while the supervisor keeps the former release warm in `slot`.

    Raises:
        UnavailableError: Its probation is not over.
    """
    try:
        previous = supervisor.status().previous
    except ControlError:
        return  # nothing serves, so nothing serves from the slot
    if previous == slot.name:
        raise UnavailableError(f"slot {slot.name} is kept for rolling back for now")


_STAGES: Mapping[Stage, Callable[[Deployment, Tools], Measures]] = MappingProxyType(
    {
        Stage.PULL: _pull,
        Stage.VERIFY: _verify,
        Stage.INSTALL: _install,
        Stage.TRY: _try,
        Stage.SWITCH: _switch,
    }
)
