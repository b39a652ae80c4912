"""`packhorse withdraw`: take a release back, and see that it is gone."""

import time

import click

from packhorse.cli import output
from packhorse.cli.failure import CommandError
from packhorse.cli.operate import PATIENCE_S, REPLY, Document, Operate, operate_options
from packhorse.cli.options import examples, parsed
from packhorse.cli.rollout import ATTEMPTS, change, describe, reason_option
from packhorse.names import Release, parse_release
from packhorse.strict_json import Fields

POLL_S = 0.25
WAIT_S = 600.0
_NAMED_MAX = 5


@click.command(
    epilog=examples(
        "packhorse withdraw magika@2 --reason 'wrong labels'",
        "packhorse withdraw magika@2 --no-wait --json",
    )
)
@click.argument("release", callback=parsed(parse_release))
@reason_option
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Wait until the cloud and every gateway that reports have left it.",
)
@operate_options()
@output.json_option
def withdraw(
    *, release: Release, reason: str, wait: bool, operate: Operate, as_json: bool
) -> None:
    """Take RELEASE back everywhere, for ever, and go back to the one before it."""
    begun = time.monotonic()
    document = _withdraw(operate, release, reason)
    if wait:
        sequence = Fields(document, REPLY).integer("sequence")
        _wait_until_gone(operate, release, sequence)
    took_s = round(time.monotonic() - begun, 2)
    done = f"withdrawn everywhere, after {took_s:.1f} s" if wait else "being withdrawn"
    output.show(
        {**document, "took_s": took_s},
        f"{release} is {done}; {describe(document)}",
        as_json=as_json,
    )


def _withdraw(operate: Operate, release: Release, reason: str) -> Document:
    """Ask for it, unless that was done before: who was interrupted may ask again."""
    document = operate.get(f"rollouts/{release.model}")
    withdrawn = Fields(document, REPLY).sequence("withdrawn", max_items=10**6)
    if str(release) in withdrawn:
        return document
    body = {"release": str(release)} | ({"reason": reason} if reason else {})
    return change(operate, release.model, "withdraw", body, attempts=ATTEMPTS)


def _wait_until_gone(operate: Operate, release: Release, sequence: int) -> None:
    """Wait until the withdrawal is published and nobody says to serve the release.

    Raises:
        CommandError: It is not within `WAIT_S`.
    """
    until = time.monotonic() + WAIT_S
    with output.working(f"waiting until nothing answers with {release}") as working:
        while still := _still(operate, release, sequence):
            working.tell(f"{release} is withdrawn; waiting for {still}")
            if time.monotonic() > until:
                raise CommandError(
                    f"{release} is withdrawn, but {still} has not left it within "
                    f"{WAIT_S:.0f} s; a gateway that is off leaves it when it is back"
                )
            time.sleep(POLL_S)


def _still(operate: Operate, release: Release, sequence: int) -> str:
    """Name what may answer with the release yet; nothing when it is gone."""
    record = operate.get(f"rollouts/{release.model}", patience_s=PATIENCE_S)
    if Fields(record, REPLY).integer("published_sequence") < sequence:
        return "the cloud"
    document = operate.get("status", patience_s=PATIENCE_S)
    rows = Fields(document, REPLY).sequence("devices", max_items=10**6)
    holders = [
        str(row.get("device"))
        for row in rows
        if isinstance(row, dict) and row.get("serving") == str(release)
    ]
    named = ", ".join(holders[:_NAMED_MAX])
    more = len(holders) - _NAMED_MAX
    return f"{named} and {more} more" if more > 0 else named
