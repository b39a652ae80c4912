"""Run the agent until it is done, with a fault at its n-th durable step.

    python -m tests.edge_runtime.agent.killed_agent FAULT N ENVIRONMENT-AS-JSON

FAULT is `kill`, or the name of an error that the step fails with, as `ENOSPC`.
N = 0 harms nothing and prints how many steps there were.
"""

import contextlib
import errno
import itertools
import json
import os
import signal
import sys

from edge_runtime.agent.enroll import load_identity
from edge_runtime.agent.loop import build_agent
from edge_runtime.agent.report import Spool
from edge_runtime.agent_settings import agent_settings
from edge_runtime.durable import EVENT

STEPS_MAX = 20


def main(fault, fail_at, environment):
    settings = agent_settings(environment)
    identity = load_identity(settings.state_dir, settings.device)
    spool = Spool(settings.state_dir / "spool", device="gateway-1", sign=identity.sign)
    agent = build_agent(settings, identity, spool)
    count = itertools.count(1)
    seen = [0]

    def watch(event, _arguments):
        if event == EVENT:
            seen[0] = next(count)
            if seen[0] == fail_at and fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif seen[0] == fail_at:
                raise OSError(getattr(errno, fault), fault)

    sys.addaudithook(watch)
    for _ in range(STEPS_MAX):
        with contextlib.suppress(OSError):  # as the loop does
            if agent.step():
                break
    sys.stderr.write(f"{seen[0]}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
