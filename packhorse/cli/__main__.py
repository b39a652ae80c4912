"""`packhorse`: push models, see what runs where, halt and withdraw."""

import importlib
import io
import sys
import traceback

import click

from packhorse.cli.options import examples

_COMMANDS = {
    "device": ("packhorse.cli.devices", "device", "Invite, list and revoke gateways."),
    "keys": ("packhorse.cli.keys", "keys", "See and change who is trusted."),
    "push": ("packhorse.cli.push", "push", "Push a model, and watch it travel."),
    "rollout": ("packhorse.cli.rollout", "rollout", "Show, halt or open a rollout."),
    "status": ("packhorse.cli.status", "status", "Show what runs where, and why."),
    "verify": ("packhorse.cli.verify", "verify", "Check a release's signatures."),
    "withdraw": ("packhorse.cli.withdraw", "withdraw", "Take a release back."),
}

_EPILOG = """\b
Environment:
  PACKHORSE_REGISTRY        push: HOST/PROJECT/REPOSITORY of Artifact Registry
  PACKHORSE_REGISTRY_TOKEN  push: access token; else what `docker login` left
  PACKHORSE_OPERATE_URL     URL of the function `operate`
  PACKHORSE_TOKEN_COMMAND   prints an identity token for it; gcloud by default
  PACKHORSE_REPOSITORY_URL  verify: URL of the bucket that gateways read
  PACKHORSE_ROOT_FILE       verify: the root metadata that you trust
  PACKHORSE_KMS_ENDPOINT    keys: URL of Cloud KMS, if it is not Google's own
  NO_COLOR                  set it to anything for no colours

\b
Exit code: 0 done; 1 refused or failed, with the reason on standard error;
2 wrong usage.

"""


class Packhorse(click.Group):
    """Imports a command when it is called, and turns every failure into a sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command."""
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command: `status` needs neither onnx nor oras."""
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

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; what goes wrong in it becomes a sentence."""
        from packhorse.cli.failure import plain_failures  # noqa: PLC0415 - not for help

        with plain_failures():
            try:
                return super().invoke(ctx)
            except Exception:
                if ctx.params["debug"]:
                    traceback.print_exc()
                raise

    def main(self, *args: object, **extra: object) -> object:  # type: ignore[override]  # click's own is overloaded
        """Run as a program; also a help text may meet a full disk."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **extra)  # type: ignore[call-overload]  # likewise
        except OSError as error:
            from packhorse.cli import failure  # noqa: PLC0415 - not for help

            failure.CommandError(failure.sentence(error)).show()
            sys.exit(1)


@click.group(
    cls=Packhorse,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG
    + examples(
        "packhorse push model.onnx --name magika --golden samples.npz",
        "packhorse status magika@2",
        "packhorse withdraw magika@2 --reason 'wrong labels'",
    ),
)
@click.version_option(package_name="packhorse")
@click.option("--debug", is_flag=True, help="Show where inside packhorse it failed.")
def main(*, debug: bool) -> None:
    """Deliver a model to the cloud and to a fleet of gateways, and take it back."""
    del debug  # `Packhorse.invoke` has seen it


if __name__ == "__main__":
    main()
