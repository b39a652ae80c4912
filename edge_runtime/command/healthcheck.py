"""Say whether this gateway answers: `python -m edge_runtime.command.healthcheck`.

For a container's HEALTHCHECK. The worker on duty is asked over the control socket,
so neither a token nor a certificate is needed. Exit code 0 says that it answers,
also where it has no release to answer with, which a new container would not mend.
"""

import os
import sys
from collections.abc import Mapping

from edge_runtime.errors import EdgeError
from edge_runtime.settings.environment import Environment
from edge_runtime.supervision.control import ask

ASK_S = 8.0
"""Less than the ten seconds after which the check itself counts as failed."""


def check_health(environ: Mapping[str, str]) -> str:
    """Return why the gateway does not answer; empty when it does."""
    try:
        state_dir = Environment(environ).directory("PACKHORSE_STATE_DIR")
        reply = ask(state_dir, {"do": "models"}, timeout_s=ASK_S)
    except EdgeError as error:
        return str(error)
    return "" if reply.get("ok") is True else str(reply.get("reason"))


if __name__ == "__main__":
    sys.exit(check_health(os.environ) or 0)
