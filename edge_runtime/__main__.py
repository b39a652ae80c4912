"""`edge-runtime serve | agent | status`."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edge_runtime.control import Document, ask
from edge_runtime.errors import ControlError, EdgeError
from edge_runtime.settings import (
    ServeSettings,
    agent_settings,
    serve_settings,
    state_dir,
)
from edge_runtime.slots import NAMES, Slots, open_slots

_STATUS_S = 5.0

_EXAMPLES = """\
examples:
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime serve
      serve the installed release on 127.0.0.1:8080 (PACKHORSE_LISTEN)
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime agent
      keep it up to date; needs PACKHORSE_DEVICE, _RING, _MODEL, _REPOSITORY_URL,
      _ROOT_FILE, _ENROLL_URL and _REPORT_URL
  PACKHORSE_STATE_DIR=/var/lib/packhorse edge-runtime status --json
      what is installed, and what serves
  AIP_HTTP_PORT=8080 AIP_STORAGE_URI=gs://… edge-runtime serve
      as Vertex AI's serving container
"""


def main() -> int:
    """Run the command that the arguments name; return the exit code."""
    arguments = _parser().parse_args()
    try:
        return _run(arguments, os.environ)
    except EdgeError as error:
        print(f"edge-runtime: {error}", file=sys.stderr)  # noqa: T201 - for people
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-runtime",
        description="Serve an ONNX model on a gateway or on Vertex AI.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer requests until told to stop")
    commands.add_parser("agent", help="pull, verify, try and switch releases")
    status = commands.add_parser("status", help="say what is installed and serves")
    status.add_argument("--json", action="store_true", help="for programs")
    return parser


def _run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    if arguments.command == "serve":
        return _serve(serve_settings(environ))
    if arguments.command == "agent":
        from edge_runtime.agent import loop  # noqa: PLC0415 - TUF is not for serve

        loop.main(agent_settings(environ))
    return _status(state_dir(environ), is_json=arguments.json)


def _serve(settings: ServeSettings) -> int:
    from edge_runtime.serve import serve  # noqa: PLC0415 - status needs none of it

    if settings.container is None:
        return serve(settings)
    from edge_runtime.cloud import install_from_cloud  # noqa: PLC0415 - container only

    with tempfile.TemporaryDirectory(prefix="packhorse-") as directory:
        slots = open_slots(Path(directory))
        install_from_cloud(settings.container, slots.slot(NAMES[0]))
        slots.activate(slots.slot(NAMES[0]))
        return serve(replace(settings, state_dir=Path(directory)))


def _status(directory: Path, *, is_json: bool) -> int:
    """Print what lies on disk and what the supervisor says."""
    slots = Slots(directory)
    active = slots.active()
    installed = {name: _release(slots, name) for name in NAMES}
    serving = _ask_status(directory)
    document = {
        "active": active.name if active else "",
        "slots": installed,
        "serving": serving,
    }
    if is_json:
        print(json.dumps(document))  # noqa: T201 - the command's output
        return 0
    for name, release in installed.items():
        mark = "active" if active and active.name == name else ""
        print(f"slot {name}  {release or 'empty':24} {mark}".rstrip())  # noqa: T201
    state = "ready" if serving.get("ready") else "not ready"
    detail = serving.get("release") or serving.get("reason") or "no release"
    print(f"server  {detail}: {state}")  # noqa: T201
    return 0


def _release(slots: Slots, name: str) -> str:
    release = slots.slot(name).release
    return str(release) if release else ""


def _ask_status(directory: Path) -> Document:
    try:
        return ask(directory, {"do": "status"}, timeout_s=_STATUS_S)
    except ControlError as error:
        return {"ready": False, "reason": str(error)}


if __name__ == "__main__":
    sys.exit(main())
