"""Ask the supervisor to let a slot serve; it owns the socket and the workers.

One JSON line out, one back, over a unix socket that only this user can open.
The agent never touches what serves: if it asks and dies, the supervisor finishes
or goes back by itself, and the next agent finds out which.

Source: docs/protocol.md, 11 "The supervisor's control socket"
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.agent.errors import ReleaseRefusedError
from edge_runtime.control import Document, ask
from edge_runtime.errors import ControlError
from edge_runtime.slots import Slot
from packhorse.names import Release

ASK_S = 10.0
"""Longest wait for an answer that needs no work."""

SWITCH_S = 300.0
"""Longest wait for a new worker: the supervisor gives up before."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the supervisor says of itself.

    Attributes:
        slot: Name of the slot that serves; empty when none does.
        previous: Name of the slot whose worker is kept warm; empty if none is.
    """

    slot: str
    release: str
    is_ready: bool
    previous: str
    reason: str


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The control socket in one state directory."""

    state_dir: Path

    def status(self) -> Status:
        """Ask what serves.

        Raises:
            ControlError: The supervisor is not there.
        """
        answer = self._ask({"do": "status"}, ASK_S)
        return Status(
            slot=_text(answer, "slot"),
            release=_text(answer, "release"),
            is_ready=answer.get("ready") is True,
            previous=_text(answer, "previous"),
            reason=_text(answer, "reason"),
        )

    def write_recent(self, path: Path) -> bool:
        """Have the last live requests written to `path`; say whether it was done.

        A gateway on which no release is ready has none.

        Raises:
            ControlError: The supervisor is not there, or could not write them.
        """
        if not self.status().is_ready:
            return False
        answer = self._ask({"do": "recent", "path": str(path)}, ASK_S)
        if answer.get("ok") is not True:
            reason = _text(answer, "reason")
            raise ControlError(f"the live requests could not be had: {reason}")
        return True

    def switch(self, slot: Slot) -> float:
        """Let `slot` serve; return how long it took, in seconds.

        Raises:
            ControlError: The supervisor is not there.
            ReleaseRefusedError: The release did not become ready; the former one
                goes on serving.
        """
        answer = self._ask({"do": "switch", "slot": slot.name}, SWITCH_S)
        if answer.get("ok") is not True:
            reason = _text(answer, "reason") or "the supervisor gave no reason"
            raise ReleaseRefusedError(f"the switch was refused: {reason}")
        took_s = answer.get("took_s")
        return float(took_s) if isinstance(took_s, int | float) else 0.0

    def roll_back(self) -> bool:
        """Have the former worker, if it is still warm, take over again.

        Raises:
            ControlError: The supervisor is not there.
        """
        return self._ask({"do": "roll_back"}, ASK_S).get("ok") is True

    def _ask(self, order: Mapping[str, object], most_s: float) -> Document:
        return ask(self.state_dir, order, timeout_s=most_s)


def serve_slot(supervisor: Supervisor, slot: Slot, release: Release) -> float:
    """Bring `slot` into service, unless it serves already; return the seconds.

    Raises:
        ControlError: The supervisor is not there.
        ReleaseRefusedError: The release did not become ready.
    """
    status = supervisor.status()
    if status.slot == slot.name and status.release == str(release) and status.is_ready:
        return 0.0
    begun_s = time.monotonic()
    if status.previous == slot.name and supervisor.roll_back():
        # Its worker was still warm: that is faster than starting one.
        return time.monotonic() - begun_s
    return supervisor.switch(slot)


def _text(answer: Mapping[str, object], name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""
