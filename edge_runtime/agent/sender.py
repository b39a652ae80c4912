"""Send what is spooled, as it comes, from a thread of its own.

Reports go out in their order, each until the cloud has it: at least once. While
the cloud is away they are kept, and it is asked less and less often.
"""

import threading
import time
from collections.abc import Callable
from typing import NoReturn

from edge_runtime.agent.errors import RefusedError, UnavailableError
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.report import Spool
from edge_runtime.agent.schedule import QUIET_MAX_S, backoff_s, spread
from edge_runtime.log import log
from edge_runtime.settings.agent_settings import AgentSettings

REVOKED_S = 3600.0
"""A device that was sent away asks so often whether it was let in again."""


def send_forever(
    spool: Spool,
    settings: AgentSettings,
    reported: threading.Event,
    hear: Callable[[bytes], None],
    web: Web,
) -> NoReturn:
    """Send reports as they come; keep them while the cloud is away.

    Args:
        spool: Where they wait.
        settings: Where they go, and how often to look without being told.
        reported: Set when there is one more.
        hear: Called with the cloud's answer to each report that it took.
        web: The way there.
    """
    failures = 0
    while True:
        reported.clear()
        try:
            sent = spool.send(web, settings.report_url, hear=hear)
        except (UnavailableError, OSError) as error:
            failures += 1
            log("report_failed", reason=str(error), waiting=len(spool.waiting()))
            wait_s = spread(wait_after_s(error, settings.poll_s, failures))
            time.sleep(max(wait_s, min(web.quiet.take_s(), QUIET_MAX_S)))
            continue
        failures = 0
        if sent:
            log("report_done", count=sent)
        reported.wait(settings.poll_s)


def wait_after_s(error: Exception, poll_s: float, failures: int) -> float:
    """Return how long to wait after so many failures, without jitter."""
    if isinstance(error, RefusedError) and error.is_revoked:
        return REVOKED_S
    return min(poll_s, backoff_s(failures))
