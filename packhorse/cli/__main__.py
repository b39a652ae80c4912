"""`packhorse`: push models, see what runs where, halt and withdraw."""

import importlib

import click

_COMMANDS = {
    "device": ("packhorse.cli.devices", "device", "Invite gateways."),
    "keys": ("packhorse.cli.keys", "keys", "Make signing keys; show what is trusted."),
    "push": ("packhorse.cli.push", "push", "Push a model, and watch it travel."),
    "rollout": ("packhorse.cli.rollout", "rollout", "Show, halt or open a rollout."),
    "status": ("packhorse.cli.status", "status", "Show what runs where, and why."),
    "verify": ("packhorse.cli.verify", "verify", "Check a release's signatures."),
    "withdraw": ("packhorse.cli.rollout", "withdraw", "Take a release back."),
}


class LazyGroup(click.Group):
    """Imports a command when it is called: `status` needs neither onnx nor oras."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command."""
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(n, text) for n, (_, _, text) in _COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: packhorse push model.onnx --name magika --golden samples.npz",
)
@click.version_option(package_name="packhorse")
def main() -> None:
    """Deliver a model to the cloud and to a fleet of gateways, and take it back."""


if __name__ == "__main__":
    main()
