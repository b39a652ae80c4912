"""`edge-runtime serve | agent | status | rollback | hold | log | bench`."""

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edge_runtime.command.command_line import build_parser
from edge_runtime.errors import EdgeError, SettingsError
from edge_runtime.service_manager import ServiceManager, service_manager
from edge_runtime.settings.serve_settings import (
    ServeSettings,
    serve_settings,
    state_dir,
)


def main() -> int:
    """Run the command that the arguments name; return the exit code."""
    # A gateway tells nobody about itself but its own cloud: ONNX Runtime would
    # tell its maker. It looks when it is imported; workers and tries inherit it.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        arguments = build_parser().parse_args()
        return _run(arguments, os.environ)
    except SettingsError as error:
        return _fail(f"{error}; `edge-runtime {arguments.command} --help` lists all")
    except EdgeError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        return _fail("")
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _fail(f"{name}{error.strerror or error}")
    except KeyboardInterrupt:
        return _fail("interrupted")


def _run(arguments: Namespace, environ: Mapping[str, str]) -> int:
    if arguments.command == "serve":
        return _serve(serve_settings(environ), service_manager(environ))
    if arguments.command == "agent":
        from edge_runtime.agent import loop  # noqa: PLC0415 - TUF is not for serve
        from edge_runtime.settings.agent_settings import agent_settings  # noqa: PLC0415 - as above

        return loop.main(agent_settings(environ), service_manager(environ))
    if arguments.command == "log":
        from edge_runtime.prediction_log import command  # noqa: PLC0415 - only for log

        return command.show_log(arguments, environ)
    if arguments.command == "bench":
        from edge_runtime.bench import command as bench  # noqa: PLC0415 - only for bench

        return bench.run_bench(arguments, environ)
    if arguments.command in {"rollback", "hold", "rotate-key"}:
        print(_by_hand(arguments, state_dir(environ)), flush=True)  # noqa: T201
        return 0
    from edge_runtime.command.status import read_status  # noqa: PLC0415 - only for status

    status = read_status(state_dir(environ))
    text = status.document() if arguments.json else status.sentences()
    print(text, flush=True)  # noqa: T201 - the command's output
    return 0


def _by_hand(arguments: Namespace, directory: Path) -> str:
    """Do what a person asks for; return a sentence about it."""
    from edge_runtime.command import by_hand  # noqa: PLC0415 - only for these

    if arguments.command == "rotate-key":
        from edge_runtime.agent.identity.rotation import ask_for_key  # noqa: PLC0415 - as above

        return ask_for_key(directory)
    if arguments.command == "rollback":
        return by_hand.roll_back(directory, arguments.reason)
    return by_hand.change_hold(directory, arguments.reason, is_off=arguments.off)


def _serve(settings: ServeSettings, manager: ServiceManager) -> int:
    from edge_runtime.serve import serve  # noqa: PLC0415 - status needs none of it

    if settings.container is None:
        return serve(settings, manager)
    import tempfile  # noqa: PLC0415 - container only

    from edge_runtime.cloud import install_from_cloud  # noqa: PLC0415 - container only
    from edge_runtime.slots import NAMES, open_slots  # noqa: PLC0415 - container only

    with tempfile.TemporaryDirectory(prefix="packhorse-") as directory:
        slots = open_slots(Path(directory))
        install_from_cloud(settings.container, slots.slot(NAMES[0]))
        slots.activate(slots.slot(NAMES[0]))
        return serve(replace(settings, state_dir=Path(directory)), manager)


def _fail(sentence: str) -> int:
    """Print why, if anything is left to say; lose output that nobody takes."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    if sentence:
        with suppress(OSError):
            print(f"edge-runtime: {sentence}", file=sys.stderr)  # noqa: T201 - for people
    return 1


if __name__ == "__main__":
    sys.exit(main())
