"""Which requests the hot path answers itself, and how each has been doing.

A route's moving average decides where it runs: in the event loop where that is
shorter than the hop to a thread and back, in a thread where it would keep other
clients waiting. Everything without a route here goes to the Flask app.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from edge_runtime.service import Handler, ModelService
from edge_runtime.settings import ContainerSettings

SLOW_S = 0.0003
"""A hop to a thread and back costs 10 to 30 µs; past ten times that it pays."""

FAST_S = 0.0002
"""Below this a route comes back into the loop; the gap keeps it from flapping."""

_WEIGHT = 0.1

Key = tuple[bytes, bytes]


@dataclass(slots=True)
class Route:
    """One method and path that the hot path answers.

    Attributes:
        name: What the route is called in counts and metrics.
        average_s: Moving average of the time that one answer takes.
    """

    name: str
    handler: Handler
    average_s: float = 0.0
    is_slow: bool = False

    def took(self, elapsed_s: float) -> None:
        """Take one answer's time into the average."""
        self.average_s += _WEIGHT * (elapsed_s - self.average_s)
        if self.average_s > SLOW_S:
            self.is_slow = True
        elif self.average_s < FAST_S:
            self.is_slow = False


def build_routes(
    service: ModelService, container: ContainerSettings | None = None
) -> dict[Key, Route]:
    """Return the routes of a service; routes that share a handler share a `Route`."""
    live = Route("live", service.live)
    ready = Route("ready", service.ready)
    routes = {(b"GET", b"/v2/health/live"): live, (b"GET", b"/v2/health/ready"): ready}
    if service.release is not None:
        routes |= _model_routes(service, ready)
    if container is not None:
        routes[b"GET", container.health_route.encode()] = ready
        answer_any = Route("predict", service.answer_any)
        routes[b"POST", container.predict_route.encode()] = answer_any
    return routes


def _model_routes(service: ModelService, ready: Route) -> dict[Key, Route]:
    infer = Route("infer", service.infer)
    predict = Route("predict", service.predict)
    routes: dict[Key, Route] = {}
    for path in _model_paths(service):
        routes[b"POST", f"{path}/infer".encode()] = infer
        routes[b"GET", f"{path}/ready".encode()] = ready
    if service.release is not None:
        path = f"/v1/models/{service.release.model}:predict"
        routes[b"POST", path.encode()] = predict
    return routes


def _model_paths(service: ModelService) -> Iterator[str]:
    """Yield the paths under which the protocol knows the model."""
    if service.release is not None:
        path = f"/v2/models/{service.release.model}"
        yield path
        yield f"{path}/versions/{service.release.version}"
