"""The real agent, as often as it is asked for, each time until it is done.

    python -m tests.crash.agent_process

One JSON object a line on standard input: the agent's `environment`, and a `fault`
as the hook takes it (CRASH_FAULT). It is built anew from the disk and runs, as the
loop does, until nothing is left to do and its reports are sent; an error in one
look, as a full disk, is not its end. One JSON object a line comes back: the kinds of
its durable steps, how many of them failed, and what went wrong, last.
"""

import contextlib
import json
import sys
import time

import sitecustomize

from edge_runtime.agent.identity.enroll import load_identity
from edge_runtime.agent.loop import build_agent
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.report import Spool
from edge_runtime.settings.agent_settings import agent_settings

MOST_S = 60.0
PAUSE_S = 0.1
PAUSE_MAX_S = 2.0
"""The pauses grow, as the loop's do: a supervisor takes a while to come back."""


def run(environment):
    """Run one agent until it is done; return its last trouble."""
    trouble = ""
    agent = spool = None
    settings = agent_settings(environment)
    until_s = time.monotonic() + MOST_S
    looks = int(environment.get("CRASH_LOOKS", 1_000_000))
    pause_s, growth = PAUSE_S, 1.0 if "CRASH_LOOKS" in environment else 1.5
    while time.monotonic() < until_s and looks:
        looks -= 1
        try:
            # Whatever starts the process starts it again when it could not begin.
            if agent is None:
                identity = load_identity(settings.state_dir, settings.device)
                spool = Spool(
                    settings.state_dir / "spool",
                    device=settings.device,
                    sign=identity.sign,
                )
                agent = build_agent(settings, identity, spool)
            if agent.step():
                spool.send(Web(), settings.report_url, hear=identity.hear)
                return trouble
        except Exception as error:  # noqa: BLE001 - as the loop does
            trouble = str(error)
        time.sleep(pause_s)
        pause_s = min(PAUSE_MAX_S, pause_s * growth)
    if spool is not None:
        with contextlib.suppress(OSError):  # the disk may still be full
            spool.send(Web(), settings.report_url, hear=identity.hear)
    return f"not done within {MOST_S} s; {trouble}"


def main():
    for line in sys.stdin:
        order = json.loads(line)
        # What the product logs goes to standard error; standard output is ours.
        out, sys.stdout = sys.stdout, sys.stderr
        sitecustomize.FAULT.arm(order.get("fault", ""))
        trouble = run(order["environment"])
        fault = sitecustomize.FAULT
        sys.stdout = out
        said = {"kinds": fault.kinds, "hits": fault.hits, "trouble": trouble}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
