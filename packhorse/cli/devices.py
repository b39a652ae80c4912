"""`packhorse device`: invite, list, show, revoke gateways; ask them for a new key."""

import click

from packhorse.cli import output
from packhorse.cli.device_view import print_device, print_devices
from packhorse.cli.operate import REPLY, Operate, operate_options
from packhorse.cli.options import examples, parsed
from packhorse.names import RING_MAX, check_device, check_model
from packhorse.strict_json import Fields

_REASON_MAX = 500


def _parse_models(
    context: click.Context, parameter: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    parse = parsed(check_model)
    for name in names:
        parse(context, parameter, name)
    return names


_name = click.argument("name", callback=parsed(check_device))


@click.group(
    epilog=examples(
        "packhorse device invite gw-17 --ring 1",
        "packhorse device revoke gw-17 --reason 'stolen in Lyon'",
    )
)
def device() -> None:
    """Invite, list and revoke gateways."""


@device.command(
    epilog=examples(
        "packhorse device invite gw-17 --ring 1",
        "packhorse device invite gw-17 --ring 1 --model magika",
        "PACKHORSE_ENROLL_TOKEN=$(packhorse device invite gw-17 --ring 1)",
    )
)
@_name
@click.option(
    "--ring",
    type=click.IntRange(0, RING_MAX),
    required=True,
    help="0 is the smallest ring and gets every release first.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    callback=_parse_models,
    help="What it may read from a private bucket; may be repeated.  [default: any]",
)
@operate_options()
@output.json_option
def invite(
    *, name: str, ring: int, models: tuple[str, ...], operate: Operate, as_json: bool
) -> None:
    """Print the one-time token with which the gateway NAME enrols.

    The gateway finds it in PACKHORSE_ENROLL_TOKEN at its first start.
    """
    wanted: dict[str, object] = {"device": name, "ring": ring}
    if models:
        wanted["models"] = list(models)
    document = operate.post("devices", wanted)
    fields = Fields(document, REPLY)
    token = fields.text("token")
    output.show(document, token, as_json=as_json)
    if not as_json and "expires_at" in fields:
        until = fields.text("expires_at")[:16].replace("T", " ")
        output.hint(f"{name} may enrol in ring {ring} with it once, until {until} UTC")


@device.command(
    "list",
    epilog=examples(
        "packhorse device list",
        "packhorse device list --json | jq '.devices[] | select(.is_revoked)'",
    ),
)
@operate_options()
@output.json_option
def list_devices(*, operate: Operate, as_json: bool) -> None:
    """Show every gateway: enrolled, invited or revoked."""
    with output.working("asking operate"):
        document = operate.get("devices")
    if as_json:
        output.show(document, as_json=True)
    else:
        print_devices(document)


@device.command(epilog=examples("packhorse device show gw-17"))
@_name
@operate_options()
@output.json_option
def show(*, name: str, operate: Operate, as_json: bool) -> None:
    """Show one gateway: its key, what it may read, and what became of it."""
    with output.working("asking operate"):
        document = operate.get(f"devices/{name}")
    if as_json:
        output.show(document, as_json=True)
    else:
        print_device(document)


@device.command(
    epilog=examples("packhorse device revoke gw-17 --reason 'stolen in Lyon'")
)
@_name
@click.option("--reason", default="", help="Why; it is kept with the device.")
@operate_options()
@output.json_option
def revoke(*, name: str, reason: str, operate: Operate, as_json: bool) -> None:
    """Send a gateway away: it may not report, read or enrol, and counts no more.

    It goes on answering with what it has. Its key and the tokens given to it before
    never let it in again; `packhorse device invite` does, with another key.
    """
    wanted = {"reason": reason[:_REASON_MAX]} if reason else {}
    document = operate.post(f"devices/{name}/revoke", wanted)
    sentence = (
        f"{name} is revoked; a token to read the bucket that it already has ends "
        "within the hour"
    )
    output.show(document, sentence, as_json=as_json)


@device.command(epilog=examples("packhorse device rotate gw-17"))
@_name
@operate_options()
@output.json_option
def rotate(*, name: str, operate: Operate, as_json: bool) -> None:
    """Ask a gateway for a new key.

    It hears of it when it next reports or renews its token, and needs nobody. At
    the gateway itself, `edge-runtime rotate-key` does the same.
    """
    document = operate.post(f"devices/{name}/rotate", {})
    sentence = (
        f"{name} will change its key when it next reports or renews its token; "
        f"`packhorse device show {name}` says since when it has it"
    )
    output.show(document, sentence, as_json=as_json)
