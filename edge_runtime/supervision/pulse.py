"""Tell the service manager that this gateway answers, as long as it does.

The worker on duty is asked something that its event loop has to answer, the very
one that answers requests; so a worker that hangs, or a supervisor that does, is
silent, and the service manager starts all anew. Where no worker is on duty, each
attempt to start one counts: finding a release that can be served takes a while.
"""

import asyncio

from edge_runtime.errors import EdgeError
from edge_runtime.service_manager import ServiceManager
from edge_runtime.supervision.supervisor import Supervisor
from packhorse.strict_json import Fields

BEAT_S = 5.0
"""Between two questions; each takes a worker less than a millisecond."""

ANSWER_S = 20.0
"""A worker's event loop is never kept for so long, not by a slow model either."""


async def tell_pulse(
    supervisor: Supervisor,
    booting: "asyncio.Task[None]",
    manager: ServiceManager,
    *,
    beat_s: float = BEAT_S,
) -> None:
    """Say when the gateway is ready, and then that it is alive, until cancelled.

    Where nobody listens, no worker is asked either.
    """
    if not manager.address:
        return
    manager.say("starting")
    await asyncio.wait({booting})
    manager.ready(sentence(supervisor))
    starts = -1
    while True:
        if await _answers(supervisor) or supervisor.starts != starts:
            manager.alive()
        starts = supervisor.starts
        manager.say(sentence(supervisor))
        await asyncio.sleep(beat_s)


def sentence(supervisor: Supervisor) -> str:
    """Say what serves, or why nothing does."""
    status = supervisor.status()
    if status["ready"]:
        return f"{status['release']} serves from slot {status['slot']}"
    return f"nothing serves: {status['reason']}"


async def _answers(supervisor: Supervisor) -> bool:
    """Say whether the worker on duty does."""
    try:
        async with asyncio.timeout(ANSWER_S):
            await supervisor.obey(Fields({"do": "models"}, "an order"))
    except (EdgeError, OSError, TimeoutError):
        return False
    return True
