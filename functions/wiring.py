"""Build each adapter once, at the first call, from the environment.

The only reader of `os.environ` on the cloud side. Heavy libraries are imported
inside the builder that needs them, so that a function pays for what it uses.
"""

import functools
import os
from typing import TYPE_CHECKING

from functions import settings

if TYPE_CHECKING:
    from functions.adapters.identity import CallerCheck
    from functions.adapters.ledger import Ledger
    from functions.adapters.pubsub import Publisher


@functools.cache
def callers() -> "CallerCheck":
    """Return the check of who calls this function."""
    from functions.adapters.identity import CallerCheck  # noqa: PLC0415 - lazy

    return CallerCheck(settings.caller_settings(os.environ))


@functools.cache
def ledger() -> "Ledger":
    """Return the database of releases, rollouts, devices and reports."""
    from functions.adapters.ledger import Ledger  # noqa: PLC0415 - lazy

    return Ledger(settings.ledger_url(os.environ))


@functools.cache
def publisher() -> "Publisher":
    """Return the publisher to this project's topics."""
    from functions.adapters.pubsub import Publisher  # noqa: PLC0415 - lazy

    return Publisher(settings.project(os.environ))


@functools.cache
def notices() -> settings.NoticeSettings:
    """Return which of the registry's notices concern us."""
    return settings.notice_settings(os.environ)
