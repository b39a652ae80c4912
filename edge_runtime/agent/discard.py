"""Let go of what was withdrawn: it must not lie where it could serve."""

from collections.abc import Collection

from edge_runtime.agent.stages import Tools
from edge_runtime.errors import ControlError
from edge_runtime.log import log
from edge_runtime.slots import NAMES
from packhorse.names import Release


def discard(withdrawn: Collection[Release], tools: Tools) -> None:
    """Empty the slots that are not in use of what nobody may run.

    The supervisor would serve it if the active release broke.
    """
    tools.archive.discard(withdrawn)
    slots = tools.slots
    bad = [slot for slot in map(slots.slot, NAMES) if slot.release in withdrawn]
    if not bad:
        return
    try:
        status = tools.supervisor.status()
    except ControlError:
        return  # not known whether it is in use; there is a next time
    active = slots.active()
    for slot in bad:
        if slot != active and slot.name not in {status.slot, status.previous}:
            log("slot_emptied", slot=slot.name, release=str(slot.release))
            slot.clear()
