"""Show how a release travels, a line for everything that becomes of it."""

import time
from collections.abc import Iterator, Mapping

import click

from packhorse.cli.failure import CommandError
from packhorse.cli.operate import Operate
from packhorse.names import Release

POLL_S = 0.5
TIMEOUT_S = 3600.0
"""A rollout may take days; who watches longer asks again."""
_ENDS = ("rollout finished", "rollout withdrawn", "rollout halted", "refused")
_NOT_FOUND = "was ever registered"


def watch_release(
    url: str, token_command: str | None, release: Release, *, as_json: bool
) -> None:
    """Print each change of the release until it has arrived, or never will.

    Raises:
        CommandError: The release was refused, halted or withdrawn.
    """
    operate = Operate(url, token_command)
    begun = time.monotonic()
    last = ""
    for change in changes(operate, release):
        last = str(change["what"])
        if not as_json:
            click.echo(_line(change, time.monotonic() - begun))
    if not last.startswith("rollout finished"):
        raise CommandError(f"{release} did not arrive: {last}")


def changes(operate: Operate, release: Release) -> Iterator[Mapping[str, object]]:
    """Yield each change of the release once, until one ends its journey.

    Raises:
        CommandError: It has not ended within an hour.
    """
    seen = 0
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        history = _history(operate, release)
        for change in history[seen:]:
            yield change
            if str(change["what"]).startswith(_ENDS):
                return
        seen = len(history)
        time.sleep(POLL_S)
    raise CommandError(f"{release} is still on its way; `packhorse status` shows it")


def _history(operate: Operate, release: Release) -> list[Mapping[str, object]]:
    try:
        document = operate.get(f"releases/{release}")
    except CommandError as error:
        if _NOT_FOUND in str(error):
            # The registry's notice has not come through yet.
            return []
        raise
    history = document.get("history")
    return list(history) if isinstance(history, list) else []


def _line(change: Mapping[str, object], elapsed_s: float) -> str:
    reason = change.get("reason")
    return f"{elapsed_s:7.1f} s  {change['what']}" + (f": {reason}" if reason else "")
