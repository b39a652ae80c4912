"""`python -m local_cloud.kms`: serve the stand-in until SIGTERM or Ctrl-C."""

import argparse
from pathlib import Path

from local_cloud import google_http
from local_cloud.documents import Store
from local_cloud.kms.api import Api
from local_cloud.stopping import take_stop_signals


def main() -> None:
    """Read the flags, serve, stop."""
    flags = _parser().parse_args()
    store = Store(flags.data.absolute() / "kms.sqlite")
    wait_for_stop = take_stop_signals()
    server = google_http.start(flags.host, flags.port, Api(store).handle)
    print(f"kms: listening on http://{flags.host}:{server.port}", flush=True)  # noqa: T201  its one line for the log
    wait_for_stop()
    server.shutdown()
    server.server_close()
    store.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_cloud.kms", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes any")
    parser.add_argument(
        "--data", type=Path, required=True, help="directory of everything it keeps"
    )
    return parser


if __name__ == "__main__":
    main()
