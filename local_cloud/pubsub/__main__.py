"""`python -m local_cloud.pubsub`: Pub/Sub on loopback until SIGTERM or Ctrl-C."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from local_cloud.pubsub.lanes import PAUSE_MAX_S
from local_cloud.pubsub.log import log
from local_cloud.pubsub.server import Server, Settings
from local_cloud.stopping import take_stop_signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    settings = _read_arguments(arguments)
    wait_for_stop = take_stop_signals()
    try:
        server = Server(settings)
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(
            f"pubsub: cannot serve on {settings.host}:{settings.port}"
            f" from {settings.data}: {error}. Is another one running?\n"
        )
        return 1
    log("listening", host=settings.host, port=server.port, data=str(settings.data))
    wait_for_stop()
    server.stop()
    sys.stdout.flush()
    # A worker may wait for a slow endpoint: its answer would change nothing now.
    os._exit(0)


def _read_arguments(arguments: Sequence[str] | None) -> Settings:
    parser = argparse.ArgumentParser(
        prog="python -m local_cloud.pubsub", description=__doc__
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8085, help="0 takes a free one")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of what is kept"
    )
    parser.add_argument(
        "--token-url",
        help="identity stand-in, http://HOST:PORT/token: signs push requests",
    )
    parser.add_argument(
        "--pause-max-s",
        type=float,
        default=PAUSE_MAX_S,
        help="longest pause before a failing push endpoint is asked again (Google: 60)",
    )
    found = parser.parse_args(arguments)
    return Settings(
        found.host, found.port, found.data, found.token_url, found.pause_max_s
    )


if __name__ == "__main__":
    sys.exit(main())
