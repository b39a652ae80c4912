"""`packhorse rollout` and `packhorse withdraw`: what an operator decides."""

import time
from collections.abc import Mapping

import click

from packhorse.cli import output
from packhorse.cli.failure import CommandError, plain_failures
from packhorse.cli.operate import Operate, operate_option, token_option
from packhorse.errors import MalformedError
from packhorse.names import Release, check_model, parse_release

POLL_S = 0.25
WAIT_S = 600.0


@click.group()
def rollout() -> None:
    """Look at a rollout, halt it, or let it go on."""


@rollout.command(epilog="Example: packhorse rollout show magika --json")
@click.argument("model")
@operate_option()
@token_option
@output.json_option
def show(*, model: str, operate_url: str, token: str | None, as_json: bool) -> None:
    """Show the rollout of MODEL."""
    with plain_failures():
        document = Operate(operate_url, token).get(f"rollouts/{check_model(model)}")
    output.show(document, _sentence(document), as_json=as_json)


@rollout.command(
    epilog="Example: packhorse rollout halt magika --reason 'strange logs'"
)
@click.argument("model")
@click.option("--reason", default="", help="Why, for those who look later.")
@operate_option()
@token_option
@output.json_option
def halt(
    *, model: str, reason: str, operate_url: str, token: str | None, as_json: bool
) -> None:
    """Stop opening the rollout of MODEL wider; who runs the candidate keeps it."""
    body = {"reason": reason} if reason else {}
    document = _change(Operate(operate_url, token), model, "halt", body)
    output.show(document, _sentence(document), as_json=as_json)


@rollout.command("open", epilog="Example: packhorse rollout open magika")
@click.argument("model")
@operate_option()
@token_option
@output.json_option
def open_(*, model: str, operate_url: str, token: str | None, as_json: bool) -> None:
    """Let the halted rollout of MODEL go on."""
    document = _change(Operate(operate_url, token), model, "open", {})
    output.show(document, _sentence(document), as_json=as_json)


@click.command(epilog="Example: packhorse withdraw magika@2 --reason 'wrong labels'")
@click.argument("release")
@click.option("--reason", default="", help="Why, for those who look later.")
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Wait until the cloud and every gateway that reports have left it.",
)
@operate_option()
@token_option
@output.json_option
def withdraw(  # noqa: PLR0913 - one parameter an option
    *,
    release: str,
    reason: str,
    wait: bool,
    operate_url: str,
    token: str | None,
    as_json: bool,
) -> None:
    """Take RELEASE back everywhere, for ever, and go back to the one before it."""
    begun = time.monotonic()
    with plain_failures():
        name = parse_release(release)
        operate = Operate(operate_url, token)
        body = {"release": str(name)} | ({"reason": reason} if reason else {})
        document = dict(_change(operate, name.model, "withdraw", body))
        if wait:
            with output.working(f"waiting until nothing answers with {name}"):
                _wait_until_gone(operate, name, int(str(document["sequence"])))
    took_s = round(time.monotonic() - begun, 2)
    output.show(
        document | {"took_s": took_s},
        f"{name} is withdrawn everywhere, after {took_s:.1f} s; {_sentence(document)}"
        if wait
        else f"{name} is being withdrawn; {_sentence(document)}",
        as_json=as_json,
    )


def _change(
    operate: Operate, model: str, action: str, body: Mapping[str, object]
) -> Mapping[str, object]:
    """Ask for a change of the very state that was read."""
    with plain_failures():
        path = f"rollouts/{check_model(model)}"
        _, tag = operate.get_with_tag(path)
        return operate.post(f"{path}/{action}", body, tag=tag)


def _wait_until_gone(operate: Operate, release: Release, sequence: int) -> None:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        record = operate.get(f"rollouts/{release.model}")
        published = int(str(record.get("published_sequence", 0)))
        if published >= sequence and not _holders(operate, release):
            return
        time.sleep(POLL_S)
    still = ", ".join(_holders(operate, release)) or "the cloud"
    raise CommandError(
        f"{release} is withdrawn, but {still} has not left it within {WAIT_S:.0f} s; "
        "a gateway that is off leaves it when it is back"
    )


def _holders(operate: Operate, release: Release) -> list[str]:
    """Return the devices that said last that they serve the release."""
    devices = operate.get("status").get("devices")
    if not isinstance(devices, list):
        raise MalformedError("operate answers with a list of devices")
    return [
        str(row["device"])
        for row in devices
        if row.get("serving") == str(release)
    ]


def _sentence(document: Mapping[str, object]) -> str:
    stable, candidate = document.get("stable"), document.get("candidate")
    parts = [f"the rollout of {document['model']} is {document['state']}"]
    if isinstance(stable, dict):
        parts.append(f"stable is {stable['release']}")
    if isinstance(candidate, dict):
        parts.append(f"candidate is {candidate['release']}")
    if document.get("reason"):
        parts.append(str(document["reason"]))
    return ", ".join(parts)
