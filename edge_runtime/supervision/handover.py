"""What the supervisor remembers of the last time that another release took over.

    <state>/handover.json

It says what there is to go back to, whether the release that serves is still on
probation, and which release was gone back from, and why. It is written before the
link `active` is changed, and counts only together with what the link names: if
power is cut between the two, it is about a change that did not happen.

One that cannot be read is as good as none.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import durable
from edge_runtime.slots import Slot, Slots
from packhorse.errors import PackhorseError
from packhorse.names import Release, parse_release
from packhorse.strict_json import Fields, decode_json, encode_json

HANDOVER_MAX_BYTES = 8192
"""A few hundred bytes, and a reason."""

REASON_MAX = 500
"""Characters of a reason, as in a report."""

BY_HAND = "rolled back by hand"

_FORMAT = 1
_NUMBER = r"[0-9a-f]{16}"


@dataclass(frozen=True, slots=True)
class Handover:
    """One change of what serves.

    Attributes:
        release: What serves since; None where nothing does.
        former: What there is to go back to; None where there is nothing.
        fallen: What was gone back from; None where this was a switch.
        reason: Why it was gone back from, why nothing serves, or why there is
            nothing to go back to.
        on_probation: Whether `release` is still watched.
        boots: Starts of the supervisor on this probation that no stop preceded.
        number: Told apart by this; no clock is asked.
    """

    release: Release | None
    former: Release | None = None
    fallen: Release | None = None
    reason: str = ""
    on_probation: bool = False
    boots: int = 0
    number: str = ""

    def __post_init__(self) -> None:
        """Give it a number of its own, and cut what is too long."""
        if not self.number:
            object.__setattr__(self, "number", secrets.token_hex(8))
        object.__setattr__(self, "reason", self.reason[:REASON_MAX])


def switched(
    release: Release | None, former: Release | None, *, reason: str = ""
) -> Handover:
    """Describe a switch, which is on probation where there is a way back.

    Args:
        release: What serves since.
        former: What there is to go back to.
        reason: Why there is nothing.
    """
    has_way_back = former is not None and former != release
    return Handover(
        release,
        former=former if has_way_back else None,
        reason=reason,
        on_probation=has_way_back,
    )


def gone_back(fallen: Slot | None, slot: Slot, reason: str) -> Handover:
    """Describe how it was gone back from one slot to another."""
    return Handover(
        slot.release, fallen=fallen.release if fallen else None, reason=reason
    )


def former_slot(slots: Slots, known: Handover) -> Slot | None:
    """Return the slot that served before what the link names, or None.

    A gateway that remembers no handover goes back to what its other slot holds.
    """
    named = slots.named()
    if named is None:
        return None
    other = slots.other(named)
    if known.release is None:
        return other if other.is_sealed else None
    if known.release != named.release or known.former is None:
        return None
    return other if other.release == known.former else None


def load_handover(state_dir: Path) -> Handover | None:
    """Return the last one, or None where none can be read."""
    try:
        with _path(state_dir).open("rb") as file:
            return decode_handover(file.read(HANDOVER_MAX_BYTES + 1))
    except (OSError, PackhorseError):
        return None


def save_handover(state_dir: Path, handover: Handover) -> None:
    """Replace the last one, durably."""
    durable.write_file(_path(state_dir), encode_handover(handover))


def encode_handover(handover: Handover) -> bytes:
    """Write it as canonical JSON."""
    return encode_json(
        {
            "format": _FORMAT,
            "release": _text(handover.release),
            "former": _text(handover.former),
            "fallen": _text(handover.fallen),
            "reason": handover.reason,
            "on_probation": handover.on_probation,
            "boots": handover.boots,
            "number": handover.number,
        }
    )


def decode_handover(body: bytes) -> Handover:
    """Read what `encode_handover` wrote.

    Raises:
        PackhorseError: It is something else.
    """
    value = decode_json(body, what="handover", limit_bytes=HANDOVER_MAX_BYTES)
    fields = Fields(value, "the handover")
    fields.integer("format", low=_FORMAT, high=_FORMAT)
    handover = Handover(
        release=_release(fields.text("release")),
        former=_release(fields.text("former")),
        fallen=_release(fields.text("fallen")),
        reason=fields.text("reason", max_length=REASON_MAX),
        on_probation=fields.boolean("on_probation"),
        boots=fields.integer("boots"),
        number=fields.text("number", pattern=_NUMBER),
    )
    fields.done()
    return handover


def _path(state_dir: Path) -> Path:
    return state_dir / "handover.json"


def _text(release: Release | None) -> str:
    return str(release) if release else ""


def _release(text: str) -> Release | None:
    return parse_release(text) if text else None
