"""The Flask app: everything that is not worth a place on the hot path.

Health, metadata, metrics, the status page, and every refusal with a sentence.
It also serves the inference routes, by the same handlers, so that a route
answers alike whichever transport carried it. Imported when first needed: Flask
costs 17 MiB and a tenth of a second.
"""

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from edge_runtime.http.replies import error_reply
from edge_runtime.model_views import ModelViews, send
from edge_runtime.page_views import add_pages
from edge_runtime.service import Service
from edge_runtime.views.overview import Overview

NOT_FOUND = 404


def create_app(service: Service, overview: Overview) -> Flask:
    """Build the app.

    Args:
        service: Answers for the models.
        overview: Looks at them, for the pages that tell of them.
    """
    app = Flask("edge_runtime", static_folder=None)
    # Paths are taken as they stand: nobody is sent elsewhere.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    ModelViews(app, service, overview.limits).add_all(overview.container)
    add_pages(app, overview.look)
    app.register_error_handler(HTTPException, _refuse)
    return app


def _refuse(error: HTTPException) -> Response:
    """Answer Flask's own refusals in the same shape as ours."""
    status = error.code or 500
    sentence = error.description or "refused"
    if status == NOT_FOUND:
        sentence = f"nothing is served at {request.path[:80]!r}"
    allowed = _allowed(error)
    if allowed:
        sentence = f"expected {' or '.join(allowed)} here, came {request.method[:20]}"
    response = send(error_reply(status, sentence))
    for name, value in error.get_headers():
        if name.lower() == "allow":
            response.headers[name] = value
    return response


def _allowed(error: HTTPException) -> list[str]:
    """Return the methods that a path has, where another one came; else none."""
    methods = error.valid_methods if isinstance(error, MethodNotAllowed) else None
    return sorted(methods or ())
