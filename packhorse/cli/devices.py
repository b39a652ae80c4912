"""`packhorse device`: invite a gateway into a ring."""

import click

from packhorse.cli import output
from packhorse.cli.failure import plain_failures
from packhorse.cli.operate import Operate, operate_option, token_option
from packhorse.names import RING_MAX, check_device


@click.group()
def device() -> None:
    """Invite gateways."""


@device.command(epilog="Example: packhorse device invite gw-17 --ring 1")
@click.argument("name")
@click.option(
    "--ring",
    type=click.IntRange(0, RING_MAX),
    required=True,
    help="0 is the smallest ring and gets every release first.",
)
@operate_option()
@token_option
@output.json_option
def invite(
    *, name: str, ring: int, operate_url: str, token: str | None, as_json: bool
) -> None:
    """Make the one-time token with which the gateway NAME enrols."""
    with plain_failures():
        body = {"device": check_device(name), "ring": ring}
        document = Operate(operate_url, token).post("devices", body)
    output.show(document, str(document["token"]), as_json=as_json)
