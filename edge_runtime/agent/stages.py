"""Run one stage of a deployment, and say in one word what became of it.

Each stage is a module of its own; this one only leads the deployment to it and
turns its errors into events of the state table. Nothing here is remembered.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edge_runtime.agent.errors import (
    DamagedError,
    ReleaseRefusedError,
    TryError,
    UnavailableError,
)
from edge_runtime.agent.install import install_bundle
from edge_runtime.agent.machine import Event, Stage
from edge_runtime.agent.memory import Deployment
from edge_runtime.agent.pull import Downloads
from edge_runtime.agent.switch import Supervisor, serve_slot
from edge_runtime.agent.try_out import check_runtime_takes, try_release
from edge_runtime.agent.verify import verify_bundle
from edge_runtime.errors import ControlError, SlotError
from edge_runtime.slots import Slot, Slots
from packhorse.errors import UntrustedError

EXHAUSTED_AFTER = 5
"""Failures of this gateway's own, not of the network, before the cloud hears."""

Measures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tools:
    """What the stages work with."""

    slots: Slots
    downloads: Downloads
    supervisor: Supervisor


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a stage.

    Attributes:
        is_counted: Whether a failure is this gateway's own; a network that is
            away is nothing that the release or the gateway did wrong.
    """

    event: Event
    reason: str = ""
    measures: Measures = field(default_factory=lambda: MappingProxyType({}))
    is_counted: bool = False


def run_stage(deployment: Deployment, tools: Tools) -> Outcome:
    """Do what `deployment.stage` says, once."""
    try:
        measures = _STAGES[deployment.stage](deployment, tools)
    except ReleaseRefusedError as error:
        return Outcome(Event.REFUSED, str(error))
    except DamagedError as error:
        return Outcome(Event.DAMAGED, str(error), is_counted=True)
    except UnavailableError as error:
        return Outcome(Event.FAILED, str(error))
    except (UntrustedError, ControlError, SlotError, TryError, OSError) as error:
        is_last = deployment.attempts + 1 == EXHAUSTED_AFTER
        event = Event.EXHAUSTED if is_last else Event.FAILED
        return Outcome(event, str(error), is_counted=True)
    return Outcome(Event.DONE, measures=measures)


def _pull(deployment: Deployment, tools: Tools) -> Measures:
    tools.downloads.pull(deployment.bundle)
    return {"bundle_bytes": float(deployment.bundle.length_bytes)}


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
    # It is installed, so its archive is not needed again.
    tools.downloads.remove_all_but(None)
    return try_release(slot, tools.slots.active(), tools.supervisor)


def _switch(deployment: Deployment, tools: Tools) -> Measures:
    active = tools.slots.active()
    if active is not None and active.release == deployment.release:
        # The supervisor finished what an earlier run of this stage asked for.
        return {}
    slot = _candidate(deployment, tools)
    took_s = serve_slot(tools.supervisor, slot, deployment.release)
    return {"switch_s": took_s}


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
