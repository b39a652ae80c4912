"""Ask a server that is away for a moment again, and not for ever."""

import time
from collections.abc import Callable
from typing import TypeVar

import requests

from packhorse.cli.failure import CommandError

PAUSES_S = (0.5, 1.5)
"""Two more attempts: a server that restarts is given the time, a wrong address not."""

T = TypeVar("T")


class AwayError(CommandError):
    """A server does not answer now; it may later."""


def persist(attempt: Callable[[], T]) -> T:
    """Return what `attempt` does; it must do no harm when it is repeated.

    A server that lets us wait has used up its time and is not asked again.
    """
    for pause_s in PAUSES_S:
        try:
            return attempt()
        except requests.Timeout:
            raise
        except (AwayError, requests.ConnectionError):
            time.sleep(pause_s)
    return attempt()
