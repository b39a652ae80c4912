"""`edge-runtime status`: what lies on this gateway's disk, and what serves."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.command.standing import Standing, read_standing
from edge_runtime.errors import ControlError
from edge_runtime.hold import read_hold
from edge_runtime.slots import NAMES, Slots
from edge_runtime.supervision.control import Document, ask
from edge_runtime.supervision.handover import Handover, load_handover

FREE_BYTES = 65_536
"""Less holds no report, no metadata and no memory of the agent, each with its copy."""

_ASK_S = 5.0


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """Where a gateway stands.

    Attributes:
        active: Name of the active slot; empty for none.
        slots: The release in each slot; empty for none.
        serving: What the supervisor says of itself, or why it says nothing.
        served: What the worker says of all models that it serves: `ready`,
            `reason` and `models`; empty where it says nothing.
        handover: How what serves came to, as far as that is known.
        hold: Why nothing new is begun here; None where nothing is held.
        standing: How the agent stands; None where none ever ran.
        disk: Why nothing can be written; empty where it can.
    """

    active: str
    slots: dict[str, str]
    serving: Document
    served: Document
    handover: Handover | None = None
    hold: str | None = None
    standing: Standing | None = None
    disk: str = ""

    def document(self) -> str:
        """Say it to a program."""
        return json.dumps(
            {
                "active": self.active,
                "slots": self.slots,
                "serving": self.serving,
                "served": self.served,
                "rolled_back": self._rolled_back(),
                "no_way_back": self._no_way_back(),
                "hold": self.hold,
                "disk": self.disk,
                "agent": self.standing.document() if self.standing else None,
            }
        )

    def sentences(self) -> str:
        """Say it to a person."""
        lines = [
            f"slot {name}  {release or 'empty':24} "
            f"{'active' if name == self.active else ''}".rstrip()
            for name, release in self.slots.items()
        ]
        lines += [f"server  {self._server()}", *self._watch()]
        if self.hold is not None:
            lines.append(f"held    {self.hold or 'no reason is given'}")
        if self.disk:
            lines.append(f"disk    {self.disk}: nothing new can be taken")
        if self.standing is not None:
            lines += self.standing.sentences()
        return "\n".join([*lines, *self._models()])

    def _rolled_back(self) -> Document | None:
        """Say what was gone back from to what serves, and why."""
        known = self.handover
        if known is None or known.fallen is None:
            return None
        return {"from": str(known.fallen), "reason": known.reason}

    def _no_way_back(self) -> str:
        """Say why what serves has nothing behind it; "" where nothing was taken."""
        known = self.handover
        if known is None or known.fallen is not None or known.release is None:
            return ""
        is_current = str(known.release) == self.slots.get(self.active)
        return known.reason if is_current else ""

    def _watch(self) -> list[str]:
        """Say whether what serves is on probation, or was gone back to."""
        if (back := self._rolled_back()) is not None:
            return [f"back    from {back['from']}: {back['reason']}"]
        if why := self._no_way_back():
            return [f"back    there is no way back: {why}"]
        previous = self.serving.get("previous")
        if not previous:
            return []
        former = self.slots.get(str(previous)) or "the former one"
        return [f"watch   on probation; it goes back to {former} if it is not well"]

    def _server(self) -> str:
        """Say what serves, and whether it is ready as clients ask for that."""
        models = _list(self.served.get("models"))
        what = self.serving.get("release") or _count_words(len(models))
        if not what:
            why = self.served.get("reason") or self.serving.get("reason")
            return f"{why or 'no release'}: not ready"
        if self.served.get("ready", self.serving.get("ready")):
            return f"{what}: ready"
        return f"{what}: not ready: {self.served.get('reason')}"

    def _models(self) -> list[str]:
        """Say it of each model that is not the slot's."""
        entries = _list(self.served.get("models"))
        others = [e for e in entries if e["release"] != self.serving.get("release")]
        lines = [f"model   {e['release']:24} {_state(e)}" for e in others]
        more = self.served.get("more")
        return [*lines, f"model   and {more} more"] if more else lines


def read_status(state_dir: Path) -> GatewayStatus:
    """Look at the slots, and ask the supervisor."""
    slots = Slots(state_dir)
    active = slots.active()
    return GatewayStatus(
        active=active.name if active else "",
        slots={name: _release(slots, name) for name in NAMES},
        serving=_ask(state_dir),
        served=_ask_models(state_dir),
        handover=load_handover(state_dir),
        hold=read_hold(state_dir),
        standing=read_standing(state_dir),
        disk=_disk(state_dir),
    )


def _disk(state_dir: Path) -> str:
    """Say why the gateway's disk takes nothing."""
    found = os.statvfs(state_dir)
    if found.f_flag & os.ST_RDONLY:
        return "read-only"
    free_bytes = found.f_bavail * found.f_frsize
    return f"full, {free_bytes} bytes are free" if free_bytes < FREE_BYTES else ""


def _list(value: object) -> list[Document]:
    return value if isinstance(value, list) else []


def _count_words(models: int) -> str:
    """Say how many models serve where no slot does."""
    if not models:
        return ""
    return f"no slot, {models} model{'s' * (models > 1)} of the directory"


def _state(entry: Document) -> str:
    return "ready" if entry["ready"] else f"not ready: {entry['reason']}"


def _ask_models(state_dir: Path) -> Document:
    try:
        reply = ask(state_dir, {"do": "models"}, timeout_s=_ASK_S)
    except ControlError:
        return {}
    return {k: v for k, v in reply.items() if k != "ok"} if reply.get("ok") else {}


def _release(slots: Slots, name: str) -> str:
    release = slots.slot(name).release
    return str(release) if release else ""


def _ask(state_dir: Path) -> Document:
    try:
        return ask(state_dir, {"do": "status"}, timeout_s=_ASK_S)
    except ControlError:
        return {"ready": False, "reason": "no `edge-runtime serve` answers here"}
