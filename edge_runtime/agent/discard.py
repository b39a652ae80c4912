"""Let go of what was withdrawn: it must not lie where it could serve."""

from collections.abc import Collection

from edge_runtime.agent.stages import Tools
from edge_runtime.errors import ControlError
from edge_runtime.log import log
from edge_runtime.slots import NAMES, Slot
from packhorse.names import Release


def discard(withdrawn: Collection[Release], tools: Tools) -> None:
    """Empty the slots that do not serve of what nobody may run.

    The supervisor would serve it if the active release broke.
    """
    tools.archive.discard(withdrawn)
    for slot in map(tools.slots.slot, NAMES):
        release = slot.release
        if release is None or release not in withdrawn:
            continue
        if _is_let_go(slot, release, tools):
            log("slot_emptied", slot=slot.name, release=str(release))
            slot.clear()


def _is_let_go(slot: Slot, release: Release, tools: Tools) -> bool:
    """Say whether nothing serves from the slot, and nothing goes back to it."""
    supervisor = tools.supervisor
    try:
        if supervisor.status().previous == slot.name:
            supervisor.let_go(release, f"{release} was withdrawn")
        status = supervisor.status()
    except ControlError as error:
        # Not known whether it is in use; there is a next time.
        log("let_go_failed", release=str(release), reason=str(error))
        return False
    in_use = {status.slot, status.previous}
    return slot != tools.slots.active() and slot.name not in in_use
