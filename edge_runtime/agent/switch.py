"""Ask the supervisor to let a slot serve; it owns the socket and the workers.

One JSON line out, one back, over a unix socket that only this user can open.
The agent never touches what serves: if it asks and dies, the supervisor finishes
or goes back by itself, and the next agent finds out which.

Source: docs/protocol.md, 11 "The supervisor's control socket"
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.agent.errors import NotSwitchedError, ReleaseRefusedError
from edge_runtime.errors import ControlError
from edge_runtime.slots import Slot
from edge_runtime.supervision.control import Document, ask
from edge_runtime.supervision.handover import REASON_MAX
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

    def write_recent(self, path: Path, after_us: int) -> int | None:
        """Have the live requests that came after `after_us` written to `path`.

        A gateway on which no release is ready has none.

        Returns:
            When the newest of them was noted; None when there are none.

        Raises:
            ControlError: The supervisor is not there, or could not write them.
        """
        if not self.status().is_ready:
            return None
        order = {"do": "recent", "path": str(path), "after_us": after_us}
        answer = self._ask(order, ASK_S)
        if answer.get("ok") is not True:
            reason = _text(answer, "reason")
            raise ControlError(f"the live requests could not be had: {reason}")
        last_us = answer.get("last_us")
        return last_us if answer.get("count") and isinstance(last_us, int) else None

    def switch(self, slot: Slot, *, is_withdrawal: bool = False) -> float:
        """Let `slot` serve; return how long it took, in seconds.

        Args:
            slot: Holds a release, whole.
            is_withdrawal: Whether nobody may go back to what serves now.

        Raises:
            ControlError: The supervisor is not there.
            NotSwitchedError: Its disk, or what else it has, failed.
            ReleaseRefusedError: The release did not become ready; the former one
                goes on serving.
        """
        order = {"do": "switch", "slot": slot.name, "is_withdrawal": is_withdrawal}
        answer = self._ask(order, SWITCH_S)
        if answer.get("ok") is not True:
            reason = _text(answer, "reason") or "the supervisor gave no reason"
            if answer.get("may_pass") is True:
                raise NotSwitchedError(f"the supervisor could not switch: {reason}")
            raise ReleaseRefusedError(f"the switch was refused: {reason}")
        took_s = answer.get("took_s")
        return float(took_s) if isinstance(took_s, int | float) else 0.0

    def roll_back(self, reason: str = "") -> bool:
        """Have the former release take over again; say whether it did.

        At once while its worker is warm; else a worker is started.

        Raises:
            ControlError: The supervisor is not there.
            NotSwitchedError: Its disk, or what else it has, failed.
        """
        order = {"do": "roll_back", "reason": reason[:REASON_MAX]}
        answer = self._ask(order, SWITCH_S)
        if answer.get("may_pass") is True:
            reason = _text(answer, "reason")
            raise NotSwitchedError(f"the supervisor could not go back: {reason}")
        return answer.get("ok") is True

    def let_go(self, release: Release, reason: str) -> None:
        """Never go back to what nobody may run, though it is still warm.

        Raises:
            ControlError: The supervisor is not there, or could not.
        """
        order = {"do": "let_go", "release": str(release), "reason": reason}
        answer = self._ask(order, SWITCH_S)
        if answer.get("ok") is not True:
            raise ControlError(_text(answer, "reason"))

    def serve_nothing(self, release: Release, reason: str) -> None:
        """Take from service what nobody may run, though nothing comes after it.

        Raises:
            ControlError: The supervisor is not there, or something else serves.
        """
        order = {"do": "serve_nothing", "release": str(release), "reason": reason}
        answer = self._ask(order, SWITCH_S)
        if answer.get("ok") is not True:
            raise ControlError(_text(answer, "reason"))

    def _ask(self, order: Mapping[str, object], most_s: float) -> Document:
        return ask(self.state_dir, order, timeout_s=most_s)


def serve_slot(
    supervisor: Supervisor, slot: Slot, release: Release, *, is_withdrawal: bool = False
) -> float:
    """Bring `slot` into service, unless it serves already; return the seconds.

    A worker that is still warm is not started again: the supervisor knows.

    Args:
        supervisor: Starts it.
        slot: Holds `release`, whole.
        release: What is to serve.
        is_withdrawal: Whether nobody may go back to what serves now.

    Raises:
        ControlError: The supervisor is not there.
        NotSwitchedError: Its disk, or what else it has, failed.
        ReleaseRefusedError: The release did not become ready.
    """
    status = supervisor.status()
    if status.slot == slot.name and status.release == str(release) and status.is_ready:
        return 0.0
    return supervisor.switch(slot, is_withdrawal=is_withdrawal)


def _text(answer: Mapping[str, object], name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""
