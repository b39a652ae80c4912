"""`packhorse rollout`: what an operator decides about a release on its way."""

import click

from packhorse.cli import output
from packhorse.cli.operate import (
    REPLY,
    Document,
    Operate,
    RefusedError,
    operate_options,
)
from packhorse.cli.options import examples, parsed
from packhorse.names import check_model
from packhorse.strict_json import Fields

ATTEMPTS = 5
"""The rollout may move between our look at it and our change."""
_MOVED = frozenset({409, 412})

model_argument = click.argument("model", callback=parsed(check_model))
reason_option = click.option(
    "--reason", default="", help="Why, for those who look later."
)


@click.group(
    epilog=examples("packhorse rollout show magika", "packhorse rollout halt magika")
)
def rollout() -> None:
    """Look at a rollout, halt it, or let it go on."""


@rollout.command(epilog=examples("packhorse rollout show magika --json"))
@model_argument
@operate_options()
@output.json_option
def show(*, model: str, operate: Operate, as_json: bool) -> None:
    """Show the rollout of MODEL."""
    document = operate.get(f"rollouts/{model}")
    output.show(document, describe(document), as_json=as_json)


@rollout.command(epilog=examples("packhorse rollout halt magika --reason 'odd logs'"))
@model_argument
@reason_option
@operate_options()
@output.json_option
def halt(*, model: str, reason: str, operate: Operate, as_json: bool) -> None:
    """Stop opening the rollout of MODEL wider; who runs the candidate keeps it."""
    body = {"reason": reason} if reason else {}
    document = change(operate, model, "halt", body, attempts=ATTEMPTS)
    output.show(document, describe(document), as_json=as_json)


@rollout.command("open", epilog=examples("packhorse rollout open magika"))
@model_argument
@operate_options()
@output.json_option
def open_(*, model: str, operate: Operate, as_json: bool) -> None:
    """Let the halted rollout of MODEL go on."""
    document = change(operate, model, "open", {})
    output.show(document, describe(document), as_json=as_json)


def change(
    operate: Operate, model: str, action: str, body: Document, *, attempts: int = 1
) -> Document:
    """Ask for a change of the very state that was read.

    Args:
        operate: Whom to ask.
        model: Whose rollout.
        action: `halt`, `open` or `withdraw`.
        body: Goes with it.
        attempts: How often, where the state moves on in between; more than once
            for what is wanted whatever the state.
    """
    path = f"rollouts/{model}"
    tag = operate.read(path).tag
    while True:
        try:
            return operate.post(f"{path}/{action}", body, tag=tag)
        except RefusedError as error:
            attempts -= 1
            seen, tag = tag, operate.read(path).tag
            if error.status not in _MOVED or tag == seen or not attempts:
                raise


def describe(document: Document) -> str:
    """Say in a sentence where a rollout stands."""
    fields = Fields(document, REPLY)
    parts = [f"the rollout of {fields.text('model')} is {fields.text('state')}"]
    for name in ("stable", "candidate"):
        offer = fields.optional(name)
        if offer is not None:
            parts.append(f"{name} is {Fields(offer, REPLY).text('release')}")
    reason = fields.optional("reason")
    return ", ".join(parts) + (f": {reason}" if reason else "")
