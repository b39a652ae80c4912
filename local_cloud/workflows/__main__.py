"""`python -m local_cloud.workflows`: serve the stand-in until SIGTERM or Ctrl-C."""

import argparse
import os
from pathlib import Path

from local_cloud import google_http
from local_cloud.documents import Store
from local_cloud.stopping import take_stop_signals
from local_cloud.workflows.api import Api
from local_cloud.workflows.errors import SourceError
from local_cloud.workflows.executions import Executions, Workflow, deploy
from local_cloud.workflows.http_calls import HttpCalls
from local_cloud.workflows.id_tokens import MetadataTokens

_RESERVED = ("GOOGLE_", "WORKFLOWS_")


def main() -> None:
    """Read the flags, deploy the workflows, serve, stop."""
    flags = _parser().parse_args()
    workflows = {name: _deploy(Path(path)) for name, path in flags.source}
    store = Store(flags.data.absolute() / "workflows.sqlite")
    http = HttpCalls(MetadataTokens(flags.metadata_host))
    executions = Executions(store, workflows, dict(flags.env), http)
    wait_for_stop = take_stop_signals()
    executions.take_up()
    server = google_http.start(flags.host, flags.port, Api(executions).handle)
    print(f"workflows: listening on http://{flags.host}:{server.port}", flush=True)  # noqa: T201  its one line for the log
    wait_for_stop()
    server.shutdown()
    executions.stop()


def _deploy(path: Path) -> Workflow:
    try:
        return deploy(path.read_bytes())
    except OSError as error:
        raise SystemExit(f"{path}: cannot be read: {error.strerror}") from error
    except SourceError as error:
        raise SystemExit(f"{path}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_cloud.workflows", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port to listen on; 0 takes any")
    add("--data", type=Path, required=True, help="directory of everything it keeps")
    add(
        "--source",
        action="append",
        required=True,
        type=_pair,
        metavar="NAME=PATH",
        help="a workflow and its file",
    )
    add(
        "--env",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="a user-defined environment variable, for sys.get_env",
    )
    add(
        "--metadata-host",
        default=os.environ.get("GCE_METADATA_HOST", "metadata.google.internal"),
        metavar="NAME:PORT",
        help="where ID tokens come from; GCE_METADATA_HOST says so, too",
    )
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, {text!r} came")
    return name, value


def _variable(text: str) -> tuple[str, str]:
    """Cut `NAME=VALUE`, and refuse the names that Google refuses."""
    name, value = _pair(text)
    if name.startswith(_RESERVED):
        raise argparse.ArgumentTypeError(
            f"{name}: {' and '.join(_RESERVED)} are Google's"
        )
    return name, value


if __name__ == "__main__":
    main()
