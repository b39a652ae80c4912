"""Turn the notification webhook of a Docker registry into notices on `gcr`.

Debian's `docker-registry` calls a webhook for every blob and manifest it takes.
This adapter publishes what Artifact Registry would have published for them and
answers only after Pub/Sub took it, so that the registry sends again what was
lost. Run it with `python -m local_cloud.registry_webhook --port 5001 --project P`.

Source: distribution, "Work with notifications"
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local_cloud.registry import notices
from local_cloud.registry.announcer import Publisher, UnavailableError
from local_cloud.registry.errors import RegistryError
from local_cloud.registry.manifests import IMAGE_TYPES, INDEX_TYPES
from local_cloud.registry.serving import serve
from local_cloud.registry.wire import read_chunks

EVENTS_MAX_BYTES = 1024 * 1024
"""One call holds a handful of events of about 1 KB each."""


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    options = _parser().parse_args()
    if not os.environ.get("PUBSUB_EMULATOR_HOST"):
        sys.exit("expected PUBSUB_EMULATOR_HOST=host:port of the local Pub/Sub; unset")
    publisher = Publisher(options.project)
    app = make_app(publisher, location_host=options.location_host)
    serve(app, host=options.host, port=options.port)
    publisher.close()


def make_app(publisher: Publisher, *, location_host: str) -> Starlette:
    """Lay the one route, `POST /`."""
    turn = asyncio.Lock()

    async def receive(request: Request) -> Response:
        try:
            chunks = read_chunks(request, EVENTS_MAX_BYTES)
            body = b"".join([chunk async for chunk in chunks])
            bodies = list(read_notices(body, location_host=location_host))
        except (RegistryError, ValueError) as error:
            return JSONResponse({"error": f"expected registry events: {error}"}, 400)
        try:
            async with turn:
                await asyncio.to_thread(publisher.publish, bodies)
        except UnavailableError as error:
            return JSONResponse({"error": str(error)}, 503)
        return JSONResponse({"published": len(bodies)})

    return Starlette(routes=[Route("/", receive, methods=["POST"])])


def read_notices(body: bytes, *, location_host: str) -> Iterator[bytes]:
    """Read a webhook's body into the bodies of notices.

    Args:
        body: An `application/vnd.docker.distribution.events.v1+json` document.
        location_host: Registry host that the notices name.

    Raises:
        ValueError: `body` is no such document.
    """
    document = json.loads(body)
    events = document.get("events") if isinstance(document, dict) else None
    if not isinstance(events, list):
        raise ValueError("there is no list named events")  # noqa: TRY004 - a value came wrong
    for event in events:
        yield from _notices_of(event, location_host)


def _notices_of(event: object, location_host: str) -> Iterator[bytes]:
    if not isinstance(event, dict) or not isinstance(event.get("target"), dict):
        raise ValueError("an event has no target")  # noqa: TRY004 - a value came wrong
    target: Mapping[str, str] = event["target"]
    image = f"{location_host}/{target.get('repository', '')}"
    is_manifest = target.get("mediaType") in IMAGE_TYPES | INDEX_TYPES
    if event.get("action") == "push" and is_manifest:
        yield notices.version_pushed(image, target["digest"])
        if target.get("tag"):
            yield notices.tag_pushed(image, target["digest"], target["tag"])
    elif event.get("action") == "delete" and target.get("tag"):
        yield notices.tag_deleted(image, target["tag"])
    elif event.get("action") == "delete":
        yield notices.version_deleted(image, target.get("digest", ""))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_cloud.registry_webhook")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--location-host", default="europe-west4-docker.pkg.dev")
    return parser


if __name__ == "__main__":
    main()
