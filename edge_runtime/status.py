"""`edge-runtime status`: what lies on this gateway's disk, and what serves."""

import json
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.control import Document, ask
from edge_runtime.errors import ControlError, SettingsError
from edge_runtime.slots import NAMES, Slots

_ASK_S = 5.0


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """Where a gateway stands.

    Attributes:
        active: Name of the active slot; empty for none.
        slots: The release in each slot; empty for none.
        serving: What the supervisor says of itself, or why it says nothing.
    """

    active: str
    slots: dict[str, str]
    serving: Document

    def document(self) -> str:
        """Say it to a program."""
        return json.dumps(
            {"active": self.active, "slots": self.slots, "serving": self.serving}
        )

    def sentences(self) -> str:
        """Say it to a person."""
        lines = [
            f"slot {name}  {release or 'empty':24} "
            f"{'active' if name == self.active else ''}".rstrip()
            for name, release in self.slots.items()
        ]
        what = self.serving.get("release") or self.serving.get("reason") or "no release"
        state = "ready" if self.serving.get("ready") else "not ready"
        return "\n".join([*lines, f"server  {what}: {state}"])


def read_status(state_dir: Path) -> GatewayStatus:
    """Look at the slots, and ask the supervisor.

    Raises:
        SettingsError: There is no such state directory.
    """
    if not state_dir.is_dir():
        raise SettingsError(
            f"PACKHORSE_STATE_DIR must name a gateway's folder, and {state_dir} is none"
        )
    slots = Slots(state_dir)
    active = slots.active()
    return GatewayStatus(
        active=active.name if active else "",
        slots={name: _release(slots, name) for name in NAMES},
        serving=_ask(state_dir),
    )


def _release(slots: Slots, name: str) -> str:
    release = slots.slot(name).release
    return str(release) if release else ""


def _ask(state_dir: Path) -> Document:
    try:
        return ask(state_dir, {"do": "status"}, timeout_s=_ASK_S)
    except ControlError:
        return {"ready": False, "reason": "no `edge-runtime serve` answers here"}
