"""What a person at the gateway does by hand, with or without a network.

`edge-runtime rollback` asks the supervisor; where none runs it changes what the next
one will serve. `edge-runtime hold` leaves a file that the agent obeys.
"""

from contextlib import ExitStack
from pathlib import Path

from edge_runtime.alone import only_supervisor
from edge_runtime.errors import ControlError
from edge_runtime.hold import lift_hold, place_hold, read_hold
from edge_runtime.reserve import Reserve
from edge_runtime.slots import Slots
from edge_runtime.supervision.control import ask
from edge_runtime.supervision.handover import (
    BY_HAND,
    REASON_MAX,
    Handover,
    former_slot,
    gone_back,
    load_handover,
    save_handover,
)

ROLL_BACK_S = 300.0
"""Time for a model to start, where its worker is not warm any more."""


def roll_back(state_dir: Path, reason: str) -> str:
    """Go back to the release before; return a sentence that says what serves.

    Raises:
        ControlError: There is none, or it did not become ready.
    """
    why = f"{BY_HAND}: {reason}" if reason else BY_HAND
    order = {"do": "roll_back", "reason": why[:REASON_MAX]}
    with ExitStack() as alone:
        try:
            alone.enter_context(only_supervisor(state_dir))
        except ControlError:
            pass  # it knows how
        else:
            return _roll_back_on_disk(Slots(state_dir), why)
    reply = ask(state_dir, order, timeout_s=ROLL_BACK_S)
    if reply.get("ok") is not True:
        raise ControlError(str(reply.get("reason")))
    return f"{reply.get('release')} serves again, after {reply.get('took_s'):.2f} s"


def _roll_back_on_disk(slots: Slots, why: str) -> str:
    """Change what will serve; nothing does now."""
    active = slots.active()
    former = former_slot(slots, load_handover(slots.state_dir) or Handover(None))
    if former is None or active is None:
        raise ControlError("there is nothing to go back to")
    reserve, handover = Reserve(slots.state_dir), gone_back(active, former, why)
    reserve.spend_for(lambda: save_handover(slots.state_dir, handover))
    reserve.spend_for(lambda: slots.activate(former))
    return f"{former.release} will serve: no `edge-runtime serve` runs here"


def change_hold(state_dir: Path, reason: str, *, is_off: bool) -> str:
    """Hold this gateway, or let it go on; return a sentence that says which."""
    if is_off:
        return "goes on" if lift_hold(state_dir) else "was not held"
    place_hold(state_dir, reason)
    held = read_hold(state_dir)
    return f"held: {held}" if held else "held"
