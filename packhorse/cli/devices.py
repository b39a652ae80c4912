"""`packhorse device`: invite a gateway into a ring."""

import click

from packhorse.cli import output
from packhorse.cli.operate import REPLY, Operate, operate_options
from packhorse.cli.options import examples, parsed
from packhorse.names import RING_MAX, check_device
from packhorse.strict_json import Fields


@click.group(epilog=examples("packhorse device invite gw-17 --ring 1"))
def device() -> None:
    """Invite gateways."""


@device.command(
    epilog=examples(
        "packhorse device invite gw-17 --ring 1",
        "PACKHORSE_ENROLL_TOKEN=$(packhorse device invite gw-17 --ring 1)",
    )
)
@click.argument("name", callback=parsed(check_device))
@click.option(
    "--ring",
    type=click.IntRange(0, RING_MAX),
    required=True,
    help="0 is the smallest ring and gets every release first.",
)
@operate_options()
@output.json_option
def invite(*, name: str, ring: int, operate: Operate, as_json: bool) -> None:
    """Print the one-time token with which the gateway NAME enrols.

    The gateway finds it in PACKHORSE_ENROLL_TOKEN at its first start.
    """
    document = operate.post("devices", {"device": name, "ring": ring})
    fields = Fields(document, REPLY)
    token = fields.text("token")
    output.show(document, token, as_json=as_json)
    if not as_json and "expires_at" in fields:
        until = fields.text("expires_at")[:16].replace("T", " ")
        output.hint(f"{name} may enrol in ring {ring} with it once, until {until} UTC")
