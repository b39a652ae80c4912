"""Run the registry: `python -m local_cloud.registry --port 5000 --data DIR ...`.

It answers on loopback without credentials and announces every push on the
topic `gcr`, exactly as Artifact Registry does. A second registry on the same
folder is refused.
"""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_cloud.registry.announcer import Announcer, Publisher
from local_cloud.registry.catalog import Catalog
from local_cloud.registry.content import ContentStore
from local_cloud.registry.disk import make_directory
from local_cloud.registry.server import Registry, make_app
from local_cloud.registry.serving import serve

BLOB_MAX_BYTES = 2 * 1024**3
"""Larger than any model this product carries."""


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    options = _parser().parse_args()
    if not os.environ.get("PUBSUB_EMULATOR_HOST"):
        sys.exit("expected PUBSUB_EMULATOR_HOST=host:port of the local Pub/Sub; unset")
    make_directory(options.data)
    with _alone(options.data), _registry(options) as registry:
        serve(make_app(registry), host=options.host, port=options.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_cloud.registry", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder to keep all in"
    )
    parser.add_argument(
        "--project", required=True, help="whose topic gcr to publish on"
    )
    parser.add_argument(
        "--location-host",
        default="europe-west4-docker.pkg.dev",
        help="registry host that notices name",
    )
    parser.add_argument("--blob-max-bytes", type=int, default=BLOB_MAX_BYTES)
    return parser


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another registry is running on {data}; stop it first")
        yield


@contextmanager
def _registry(options: argparse.Namespace) -> Iterator[Registry]:
    catalog = Catalog(options.data / "catalog.db", location_host=options.location_host)
    publisher = Publisher(options.project)
    announcer = Announcer(catalog, publisher.publish)
    content = ContentStore(options.data)
    announcer.start()
    try:
        yield Registry(content, catalog, announcer, options.blob_max_bytes)
    finally:
        announcer.stop()
        publisher.close()
        catalog.close()


if __name__ == "__main__":
    main()
