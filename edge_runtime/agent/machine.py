"""The state table of a deployment: what comes after what, and what to report.

Pure: it knows nothing of disks, sockets or clocks. `loop.py` runs the stage
that the table names, tells the table what became of it, and saves the answer
before it goes on; so whatever ends the agent between two stages, it goes on
with the stage that was saved. Every stage can be run twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from packhorse.report import DeviceState


class Stage(StrEnum):
    """What the agent is to do next for the release it deploys."""

    IDLE = "idle"
    PULL = "pull"
    VERIFY = "verify"
    INSTALL = "install"
    TRY = "try"
    SWITCH = "switch"


class Event(StrEnum):
    """What became of a stage, or what the truth asks for."""

    OFFERED = "offered"
    """A release is wanted that is in no slot."""
    AT_HAND = "at_hand"
    """A release is wanted that lies in the other slot, never tried."""
    PROVEN = "proven"
    """A release is wanted that lies in the other slot and has served here."""
    DONE = "done"
    """The stage succeeded."""
    REFUSED = "refused"
    """The stage found the release bad."""
    FAILED = "failed"
    """The stage could not be finished now; it may be later."""
    EXHAUSTED = "exhausted"
    """It could not be finished for so long that somebody should know."""
    DAMAGED = "damaged"
    """What the stage stands on is gone."""
    WAITING = "waiting"
    """A rule of this site says "not now"; it goes on by itself."""
    HELD = "held"
    """A person has stopped everything new here."""
    SUPERSEDED = "superseded"
    """The truth asks for something else by now."""
    FELL_BACK = "fell_back"
    """The release served, and the former one serves again."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where a deployment stands after an event.

    Attributes:
        stage: The stage to run next.
        report: The state to tell the cloud, or None when it need not know.
    """

    stage: Stage
    report: DeviceState | None = None


_STARTS = {
    (Stage.IDLE, Event.OFFERED): Step(Stage.PULL, DeviceState.OFFERED),
    (Stage.IDLE, Event.AT_HAND): Step(Stage.TRY, DeviceState.OFFERED),
    (Stage.IDLE, Event.PROVEN): Step(Stage.SWITCH, DeviceState.OFFERED),
    (Stage.IDLE, Event.FELL_BACK): Step(Stage.IDLE, DeviceState.ROLLED_BACK),
}
_SUCCESSES = {
    (Stage.PULL, Event.DONE): Step(Stage.VERIFY, DeviceState.DOWNLOADED),
    (Stage.VERIFY, Event.DONE): Step(Stage.INSTALL, DeviceState.VERIFIED),
    (Stage.INSTALL, Event.DONE): Step(Stage.TRY, DeviceState.INSTALLED),
    (Stage.TRY, Event.DONE): Step(Stage.SWITCH, DeviceState.TRIED),
    (Stage.SWITCH, Event.DONE): Step(Stage.IDLE, DeviceState.SERVING),
    (Stage.SWITCH, Event.FELL_BACK): Step(Stage.IDLE, DeviceState.ROLLED_BACK),
}
_RUNNING = tuple(stage for stage in Stage if stage is not Stage.IDLE)
_ENDS = {
    Event.REFUSED: Step(Stage.IDLE, DeviceState.REFUSED),
    Event.SUPERSEDED: Step(Stage.IDLE, DeviceState.SUPERSEDED),
    Event.DAMAGED: Step(Stage.PULL, DeviceState.DAMAGED),
}

TABLE: Mapping[tuple[Stage, Event], Step] = {
    **_STARTS,
    **_SUCCESSES,
    **{(stage, event): step for stage in _RUNNING for event, step in _ENDS.items()},
    **{(stage, Event.FAILED): Step(stage) for stage in _RUNNING},
    **{(s, Event.WAITING): Step(s, DeviceState.WAITING) for s in _RUNNING},
    **{(s, Event.HELD): Step(s, DeviceState.HELD) for s in _RUNNING},
    **{(s, Event.EXHAUSTED): Step(s, DeviceState.FAILED) for s in _RUNNING},
}
"""Every pair of stage and event that can happen, and what follows."""


def advance(stage: Stage, event: Event) -> Step:
    """Return what follows when `event` happens in `stage`.

    Raises:
        AssertionError: The pair cannot happen; the caller has a mistake.
    """
    step = TABLE.get((stage, event))
    if step is None:
        raise AssertionError(f"{event} cannot happen in the stage {stage}")
    return step
