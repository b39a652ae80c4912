"""What somebody beside a gateway does in a chapter of its life."""

import os
import subprocess

from edge_runtime.errors import ControlError
from edge_runtime.supervision.control import ask
from tests.crash.steps import python, watched
from tests.edge_runtime.agent.gateway import READY_S, ROOT


def fall_back(state_dir, *, log=None):
    """Have the gateway go back, as an operator beside it does.

    Returns:
        Whether it did; it cannot where the supervisor or its disk just failed.
    """
    try:
        return ask(state_dir, {"do": "roll_back"}, timeout_s=READY_S)["ok"] is True
    except ControlError:
        return False


def ask_for_another_key(state_dir, *, log=None):
    """Wish the device another key, as an operator beside it does."""
    command = "import sys; from pathlib import Path"
    command += "; from edge_runtime.agent.identity.rotation import ask_for_key"
    command += "; ask_for_key(Path(sys.argv[1]))"
    subprocess.run(
        python("-c", command, str(state_dir)),
        env=watched(os.environ, state_dir, log=log, role="by hand"),
        cwd=ROOT,
        check=True,
        timeout=READY_S,
    )
    return True


def nothing(_state_dir, *, log=None):
    """Let nothing happen."""
    return True


AT_THE_GATEWAY = {
    "a fall back": fall_back,
    "another key for the device": ask_for_another_key,
}
"""What happens in a chapter without the cloud: it has to happen again with it."""


def act(chapter_name):
    """Return what happens at the gateway in a chapter."""
    return AT_THE_GATEWAY.get(chapter_name, nothing)
