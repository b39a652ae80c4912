"""Which requests the hot path answers itself.

A path is looked up as it stands: whatever is written otherwise, or has no route
here, goes to the Flask app, which answers with the same handlers.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from edge_runtime.extensions import extension_routes
from edge_runtime.http.replies import Body, Reply
from edge_runtime.inference.calls import (
    Decode,
    decode_either,
    decode_infer,
    decode_predict,
)
from edge_runtime.models.served_model import ServedModel
from edge_runtime.service import Handler, Service
from edge_runtime.settings.serve_settings import ContainerSettings

Key = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """A route whose answer is there at once.

    Attributes:
        name: What the route is called in counts and metrics.
    """

    name: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class Infer:
    """A route that leads to a model."""

    name: str
    model: ServedModel
    decode: Decode


Route = Answer | Infer


def build_routes(
    service: Service,
    container: ContainerSettings | None = None,
    extra: Mapping[str, Handler] | None = None,
) -> dict[Key, Route]:
    """Return the routes of what is served now.

    Args:
        service: What the routes lead to.
        container: Vertex AI's routes, on Vertex AI.
        extra: More GET routes by path, such as the metrics.
    """
    routes: dict[Key, Route] = {
        (b"GET", b"/v2/health/live"): Answer("live", service.live),
        (b"GET", b"/v2/health/ready"): Answer("ready", service.ready),
        (b"GET", b"/v2"): Answer("server", service.server_metadata),
    }
    for path, handler in (extra or {}).items():
        routes[b"GET", path.encode()] = Answer(path.strip("/"), handler)
    for (method, path), handler in extension_routes(service).items():
        routes[method.encode(), path.encode()] = Answer("extension", handler)
    for model in service.models.all():
        routes |= _model_routes(service, model)
    if container is not None:
        routes |= _container_routes(service, container)
    return routes


def _model_routes(service: Service, model: ServedModel) -> Iterator[tuple[Key, Route]]:
    """Yield the routes of one version, and of its model where it is the latest."""
    name, version = model.name, model.version
    is_latest = service.models.get(name) is model
    for path, asked in _paths(name, version, is_latest=is_latest):
        metadata = _told(service.model_metadata, name, asked)
        ready = _told(service.model_ready, name, asked)
        yield (b"POST", f"{path}/infer".encode()), Infer("infer", model, decode_infer)
        yield (b"GET", path.encode()), Answer("metadata", metadata)
        yield (b"GET", f"{path}/ready".encode()), Answer("model_ready", ready)
    if is_latest:
        path = f"/v1/models/{name}:predict"
        yield (b"POST", path.encode()), Infer("predict", model, decode_predict)


def _paths(
    name: str, version: str, *, is_latest: bool
) -> Iterator[tuple[str, str | None]]:
    """Yield the paths under which the protocol knows a version."""
    yield f"/v2/models/{name}/versions/{version}", version
    if is_latest:
        yield f"/v2/models/{name}", None


def _container_routes(
    service: Service, container: ContainerSettings
) -> Iterator[tuple[Key, Route]]:
    yield (b"GET", container.health_route.encode()), Answer("ready", service.ready)
    for model in service.models.all():
        key = b"POST", container.predict_route.encode()
        yield key, Infer("predict", model, decode_either)


def _told(
    handler: Callable[[str, str | None], Reply], name: str, version: str | None
) -> Handler:
    """Bind a handler to a model; its request has no body."""
    bound = partial(handler, name, version)

    def answer(_body: Body) -> Reply:
        return bound()

    return answer
