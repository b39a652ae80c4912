"""The Flask app: everything that is not worth a place on the hot path.

Health, metadata, metrics, the status page, and every refusal with a sentence.
It also serves the inference routes, by the same handlers, so that a route
answers alike whichever transport carried it. Imported when first needed: Flask
costs 17 MiB and a tenth of a second.
"""

from collections.abc import Callable

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from edge_runtime.counts import Counts
from edge_runtime.errors import OverrunError
from edge_runtime.replies import Reply, error_reply, json_reply, refusal
from edge_runtime.service import Handler, ModelService

NOT_FOUND = 404
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The page loads nothing and runs nothing."""


def create_app(service: ModelService, counts: Counts, *, slot: str) -> Flask:
    """Build the app.

    Args:
        service: Answers for the model.
        counts: What the server has answered so far; read only.
        slot: Name of the slot that is served, "" for none.
    """
    app = Flask("edge_runtime", static_folder=None)
    _add_health(app, service)
    _add_models(app, service)
    _add_status(app, service, counts, slot)
    app.register_error_handler(HTTPException, _refuse)
    app.register_error_handler(OverrunError, lambda error: _send(refusal(error)))
    return app


def _add_health(app: Flask, service: ModelService) -> None:
    app.add_url_rule("/v2/health/live", "live", _sent(service.live))
    app.add_url_rule("/v2/health/ready", "ready", _sent(service.ready))
    app.add_url_rule("/v2", "server", _sent(service.server_metadata))


def _add_models(app: Flask, service: ModelService) -> None:
    def metadata(model: str, version: str | None = None) -> Response:
        refused = service.refuse_other(model, version)
        return _send(refused or service.model_metadata())

    def ready(model: str, version: str | None = None) -> Response:
        refused = service.refuse_other(model, version)
        return _send(refused or service.ready())

    def answer(handler: Handler, model: str, version: str | None = None) -> Response:
        refused = service.refuse_other(model, version)
        return _send(refused or handler(request.get_data()))

    def infer(model: str, version: str | None = None) -> Response:
        return answer(service.infer, model, version)

    def predict(model: str) -> Response:
        return answer(service.predict, model)

    for path in ("/v2/models/<model>", "/v2/models/<model>/versions/<version>"):
        app.add_url_rule(path, None, metadata)
        app.add_url_rule(f"{path}/ready", "model_ready", ready)
        app.add_url_rule(f"{path}/infer", None, infer, methods=["POST"])
    app.add_url_rule("/v1/models/<model>:predict", None, predict, methods=["POST"])


def _add_status(app: Flask, service: ModelService, counts: Counts, slot: str) -> None:
    def describe() -> dict[str, object]:
        error = counts.last_error
        return {
            "release": str(service.release) if service.release else None,
            "slot": slot or None,
            "ready": service.release is not None,
            "reason": service.reason,
            "uptime_s": round(counts.uptime_s, 1),
            "requests": counts.describe(),
            "last_error": error.describe() if error else None,
            "last": [x.describe() for x in reversed(service.recent.all())],
        }

    def page() -> Response:
        routes = counts.describe()
        means = {route: counts.mean_ms(route) for route in routes}
        response = Response(render_template("status.html", **describe(), means=means))
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    def metrics() -> Response:
        text = counts.metrics(str(service.release or ""))
        return Response(text, mimetype="text/plain; version=0.0.4")

    app.add_template_filter(_duration, "duration")
    app.add_url_rule("/", "page", page)
    app.add_url_rule("/status", "status", lambda: _send(json_reply(200, describe())))
    app.add_url_rule("/metrics", "metrics", metrics)


def _duration(seconds: float) -> str:
    """Write a time as people say it: two units, the largest first."""
    minutes, hours, days = (int(seconds // unit_s) for unit_s in (60, 3600, 86_400))
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    if minutes:
        return f"{minutes} min {int(seconds) % 60} s"
    return f"{int(seconds)} s"


def _sent(answer: Callable[[], Reply]) -> Callable[[], Response]:
    """Turn a handler without arguments into a view."""
    return lambda: _send(answer())


def _send(reply: Reply) -> Response:
    """Turn a reply into Flask's."""
    response = Response(reply.body, reply.status, content_type=reply.content_type)
    response.headers.extend(reply.headers)
    return response


def _refuse(error: HTTPException) -> Response:
    """Answer Flask's own refusals in the same shape as ours."""
    status = error.code or 500
    sentence = error.description or "refused"
    if status == NOT_FOUND:
        sentence = f"nothing is served at {request.path[:80]!r}"
    response = _send(error_reply(status, sentence))
    for name, value in error.get_headers():
        if name.lower() == "allow":
            response.headers[name] = value
    return response
