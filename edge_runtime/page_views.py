"""The pages for people, and what they say for programs: `GET /` and `GET /status`."""

from collections.abc import Callable

from flask import Flask, Response, render_template, request

from edge_runtime.http.replies import json_reply
from edge_runtime.model_views import send
from edge_runtime.service import Handler
from edge_runtime.views.overview import overview_routes
from edge_runtime.views.page import REFRESH_S, build_page
from edge_runtime.views.server_view import ServerView
from edge_runtime.views.status_document import describe_server

PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads nothing and runs nothing; its icon is part of it."""

ALIVE = "alive"
"""Source: KServe, "V1 Inference Protocol": its clients ask `GET /` for this word."""

STILL = "still"
"""With this in the query the page does not load itself again."""


def add_pages(app: Flask, look: Callable[[], ServerView]) -> None:
    """Serve what `look` sees when asked."""

    def page() -> Response:
        if _is_program():
            return status()
        refresh_s = 0 if STILL in request.args else REFRESH_S
        built = build_page(look(), refresh_s=refresh_s)
        response = Response(render_template("status.html", page=built))
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    def status() -> Response:
        no_store = (("Cache-Control", "no-store"),)
        document = {"status": ALIVE, **describe_server(look())}
        return send(json_reply(200, document, no_store))

    app.add_url_rule("/", "page", page)
    app.add_url_rule("/status", "status", status)
    for path, handler in overview_routes(look).items():
        app.add_url_rule(path, path, _sent(handler))


def _is_program() -> bool:
    """Say whether somebody asks who says what it takes, and names no HTML."""
    accept = request.headers.get("Accept", "")
    return accept != "" and "text/html" not in accept


def _sent(handler: Handler) -> Callable[[], Response]:
    return lambda: send(handler(b""))
