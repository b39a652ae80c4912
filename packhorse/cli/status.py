"""`packhorse status`: what runs where, since when, and why."""

import click

from packhorse.cli import output
from packhorse.cli.operate import Operate, operate_options
from packhorse.cli.options import examples, parsed
from packhorse.cli.status_view import print_all, print_release
from packhorse.names import Release, parse_release


@click.command(
    epilog=examples(
        "packhorse status",
        "packhorse status magika@2",
        "packhorse status --json | jq -r '.devices[].serving'",
    )
)
@click.argument("release", required=False, callback=parsed(parse_release))
@click.option(
    "--all", "is_full", is_flag=True, help="Show every row, and reasons in full."
)
@operate_options()
@output.json_option
def status(
    *, release: Release | None, is_full: bool, operate: Operate, as_json: bool
) -> None:
    """Show all releases, rollouts, devices and refusals, or one RELEASE in full."""
    with output.working("asking operate"):
        document = operate.get(f"releases/{release}" if release else "status")
    if as_json:
        output.show(document, as_json=True)
    elif release:
        print_release(document)
    else:
        print_all(document, is_full=is_full)
