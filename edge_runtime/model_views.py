"""Flask's views of the protocols, for every path that the hot path has no route for.

Odd spellings of a path, HEAD, models that are not loaded, loading and unloading:
they are answered by the hot path's handlers, and inferences stand in the same
queue. What Triton serves and this server does not is refused with a sentence.
"""

from collections.abc import Callable
from functools import partial

from flask import Flask, Response, request
from werkzeug.routing import BaseConverter

from edge_runtime.extensions import Extensions, answering
from edge_runtime.http.envelope import Envelope, read_envelope
from edge_runtime.http.replies import Body, Reply, error_reply, unavailable
from edge_runtime.inference.calls import (
    Decode,
    decode_either,
    decode_infer,
    decode_predict,
)
from edge_runtime.service import Service
from edge_runtime.settings.serve_settings import ContainerSettings, Limits

_MEMORY = "tensors are taken from the request's body, not from shared memory"
_TRACE = "traces are not set by request; a request's traceparent header is passed on"

NOT_SERVED = {
    "/v2/systemsharedmemory/<path:rest>": _MEMORY,
    "/v2/cudasharedmemory/<path:rest>": _MEMORY,
    "/v2/trace/setting": _TRACE,
    "/v2/models/<name>/trace/setting": _TRACE,
    "/v2/logging": "what is logged is not set by request",
    "/v1/models/<name>:explain": "this server explains no predictions",
}
"""What clients have a method for, and what they are told."""

Handler = Callable[..., Reply]
"""Takes the request's body, and what the path names."""


class PlainName(BaseConverter):
    """A part of a path without a colon."""

    regex = "[^/:]+"


class ModelViews:
    """Adds a service's routes to an app."""

    def __init__(self, app: Flask, service: Service, limits: Limits) -> None:
        """Add routes of `service` to `app`."""
        self._app = app
        app.url_map.converters["plain"] = PlainName
        self._service = service
        self._limits = limits

    def add_all(self, container: ContainerSettings | None = None) -> None:
        """Add the routes of every protocol, and Vertex AI's own on Vertex AI."""
        self._add_server()
        self._add_models()
        self._add_repository()
        if container is not None:
            self._get(container.health_route, _told(self._service.ready))
            either = self._infer(decode_either)
            self._post(container.predict_route, partial(self._by_latest, either))
        for path, sentence in NOT_SERVED.items():
            self._get(path, partial(_not_served, sentence))
            self._post(path, partial(_not_served, sentence))

    def _add_server(self) -> None:
        service, extensions = self._service, Extensions(self._service)
        self._get("/v2", _told(service.server_metadata))
        self._get("/v2/health/live", _told(service.live))
        self._get("/v2/health/ready", _told(service.ready))
        self._get("/v2/models/stats", extensions.all_statistics)
        self._get("/v1/models", extensions.list_models)

    def _add_models(self) -> None:
        service, extensions = self._service, Extensions(self._service)
        for path in ("/v2/models/<name>", "/v2/models/<name>/versions/<version>"):
            self._get(path, self._of_model(_told(service.model_metadata)))
            self._get(f"{path}/ready", self._of_model(_told(service.model_ready)))
            self._get(f"{path}/config", self._of_model(extensions.config))
            self._get(f"{path}/stats", self._of_model(extensions.statistics))
            self._post(f"{path}/infer", self._infer(decode_infer))
        # A colon begins what is to be done with the model.
        self._get("/v1/models/<plain:name>", self._of_model(extensions.ready))
        self._post("/v1/models/<name>:predict", self._infer(decode_predict))

    def _add_repository(self) -> None:
        extensions = Extensions(self._service)
        self._post("/v2/repository/index", extensions.index)
        self._post("/v2/repository/models/<name>/load", extensions.load)
        self._post("/v2/repository/models/<name>/unload", extensions.unload)

    def _get(self, path: str, handler: Handler) -> None:
        self._add("GET", path, handler)

    def _post(self, path: str, handler: Handler) -> None:
        self._add("POST", path, handler)

    def _add(self, method: str, path: str, handler: Handler) -> None:
        def view(**names: str) -> Response:
            return send(answering(partial(handler, **names))(request.get_data()))

        self._app.add_url_rule(path, f"{method} {path}", view, methods=[method])

    def _infer(self, decode: Decode) -> Handler:
        """Return a handler that queues an inference and waits for its answer."""
        service, limit_bytes = self._service, self._limits.body_max_bytes

        def infer(body: Body, name: str, version: str | None = None) -> Reply:
            model = service.models.get(name, version)
            return service.infer(model, decode, _envelope(), body, limit_bytes)

        return self._of_model(infer)

    def _of_model(self, handler: Handler) -> Handler:
        """Let a server that has no model at all say why."""
        models = self._service.models

        def handle(body: Body, **names: str) -> Reply:
            if not models.all():
                return unavailable(models.reason, retry_s=5)
            return handler(body, **names)

        return handle

    def _by_latest(self, handler: Handler, body: Body) -> Reply:
        """Answer by the container's one model."""
        names = [model.name for model in self._service.models.all()]
        return handler(body, name=names[-1] if names else "")


def send(reply: Reply) -> Response:
    """Turn a reply into Flask's."""
    response = Response(reply.body, reply.status, content_type=reply.content_type)
    response.headers.extend(reply.headers)
    return response


def _told(handler: Callable[..., Reply]) -> Handler:
    """Call a handler that has no use for a body."""
    return lambda _body, **names: handler(**names)


def _not_served(sentence: str, _body: Body, **_names: str) -> Reply:
    return error_reply(501, sentence)


def _envelope() -> Envelope:
    """Read the headers of the request that is answered now."""
    return read_envelope(
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in request.headers
    )
