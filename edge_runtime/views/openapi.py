"""The API document, `GET /openapi.json`: what is served now, route by route.

Made from the models that are loaded: their paths stand there with their names,
and their tensors with their types. Every status that a route can answer is in it.

Source: OpenAPI Specification 3.1.0
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from edge_runtime.service import SERVER_VERSION
from edge_runtime.views.openapi_responses import Answers, Operation
from edge_runtime.views.openapi_schemas import (
    Schema,
    infer_answer,
    infer_request,
    predict_answer,
    predict_request,
)
from edge_runtime.views.server_view import ModelView, ServerView

VERSION = "3.1.0"

_DESCRIPTION = (
    "A gateway that answers for ONNX models by the Open Inference Protocol,"
    " version 2, in JSON and with binary tensors, by KServe's first protocol and by"
    " Vertex AI's `instances`."
)
_NO_KEY: Final = re.compile(r"[^A-Za-z0-9._-]")

_HEADERS: Final[list[Schema]] = [
    {
        "name": "X-Request-Timeout",
        "in": "header",
        "description": "Seconds after which nobody waits for the answer.",
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
    },
    {
        "name": "traceparent",
        "in": "header",
        "description": "W3C trace context; passed on, and ignored when it is none.",
        "schema": {"type": "string"},
    },
]

Path = dict[str, Operation]


@dataclass(slots=True)
class _Document:
    """The document while it is made."""

    view: ServerView
    answers: Answers
    paths: dict[str, Path] = field(default_factory=dict)
    schemas: dict[str, Schema] = field(default_factory=dict)

    def add(self, method: str, path: str, operation: Operation) -> None:
        """Add one operation; its id is made of its method and path."""
        words = re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_") or "page"
        named = {"operationId": f"{method}_{words}"} | operation
        self.paths.setdefault(path, {})[method] = named

    def schema(self, key: str, schema: Schema) -> Schema:
        """Keep a schema, and return what stands for it."""
        key = _NO_KEY.sub("_", key)
        self.schemas[key] = schema
        return {"$ref": f"#/components/schemas/{key}"}


def build_document(view: ServerView) -> dict[str, object]:
    """Describe a server."""
    answers = Answers(view.limits.body_max_bytes, needs_token=view.needs_token)
    document = _Document(view, answers)
    for method, path, operation in _server_operations(answers):
        document.add(method, path, operation)
    for model in view.models:
        _add_model(document, model)
    if view.container is not None:
        _add_container(document)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Packhorse gateway",
            "version": SERVER_VERSION,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "paths": document.paths,
        "components": {
            "schemas": document.schemas | answers.schemas(),
            "responses": answers.components(),
            **answers.security_schemes(),
        },
    }


def _server_operations(answers: Answers) -> Iterator[tuple[str, str, Operation]]:
    """Yield what is asked of the server as a whole."""
    told = answers.told
    yield "get", "/", answers.page("The status page.")
    yield "get", "/metrics", answers.metrics("All measures, in Prometheus' format.")
    yield "get", "/status", told("The status page for programs.")
    yield "get", "/openapi.json", told("This document.")
    yield "get", "/v2", told("The server's name, version and extensions.")
    yield "get", "/v2/health/live", answers.health("Whether the process answers.")
    yield "get", "/v2/health/ready", answers.health("Whether the models are warm.")
    yield "get", "/v2/models/stats", told("What every model did.")
    yield "get", "/v1/models", told("The names of the models.")
    yield (
        "post",
        "/v2/repository/index",
        answers.asked(
            "The versions that are known here.",
            {"type": "object", "properties": {"ready": {"type": "boolean"}}},
        ),
    )


def _add_model(document: _Document, model: ModelView) -> None:
    """Add the routes of one version, and of its model where it is the latest."""
    key = f"{model.name}.{model.version}"
    asked = document.schema(f"{key}.InferRequest", infer_request(model.signature))
    given = document.schema(
        f"{key}.InferAnswer", infer_answer(model.name, model.version, model.signature)
    )
    for path in _paths(model):
        answers = document.answers
        told = answers.told_of_model
        text = f"Run {model.release}: the Open Inference Protocol, version 2."
        infer = answers.infer(text, asked, given) | {"parameters": _HEADERS}
        document.add("post", f"{path}/infer", infer)
        document.add("get", path, told(f"The tensors of {model.release}."))
        document.add(
            "get", f"{path}/ready", answers.health(f"Whether {model.release} is ready.")
        )
        document.add("get", f"{path}/config", told(f"How {model.release} is served."))
        document.add("get", f"{path}/stats", told(f"What {model.release} did."))
    if model.is_latest:
        _add_first_protocol(document, model)


def _paths(model: ModelView) -> Iterator[str]:
    """Yield the paths under which the protocol knows a version."""
    path = f"/v2/models/{quote(model.name, safe='')}"
    yield f"{path}/versions/{quote(model.version, safe='')}"
    if model.is_latest:
        yield path


def _add_first_protocol(document: _Document, model: ModelView) -> None:
    """Add KServe's first protocol, and loading by name."""
    answers = document.answers
    name = quote(model.name, safe="")
    path = f"/v1/models/{name}"
    text = f"Whether {model.name} is ready."
    document.add("get", path, answers.health(text))
    key = f"{model.name}.{model.version}"
    predict = answers.infer(
        f"Run {model.release}: `instances`, as Vertex AI and KServe write them.",
        document.schema(f"{key}.PredictRequest", predict_request(model.signature)),
        document.schema(f"{key}.PredictAnswer", predict_answer(model.signature)),
    )
    document.add("post", f"{path}:predict", predict | {"parameters": _HEADERS})
    for word in ("load", "unload"):
        path = f"/v2/repository/models/{name}/{word}"
        text = f"{word.capitalize()} {model.name}, where that is allowed."
        document.add("post", path, answers.asked(text, {"type": "object"}, "403"))


def _add_container(document: _Document) -> None:
    """Add the two routes that Vertex AI names."""
    container, answers = document.view.container, document.answers
    if container is None:
        return
    text = "Whether the model is warm, for Vertex AI."
    document.add("get", container.health_route, answers.health(text))
    for model in document.view.models:
        refs = [
            {"$ref": "#/components/schemas/" + _NO_KEY.sub("_", f"{key}{word}")}
            for key in [f"{model.name}.{model.version}"]
            for word in (".InferRequest", ".PredictRequest")
        ]
        given = [{"$ref": ref["$ref"].replace("Request", "Answer")} for ref in refs]
        text = f"Run {model.release}: either protocol, told apart by the body."
        either = answers.infer(text, {"anyOf": refs}, {"anyOf": given})
        document.add("post", container.predict_route, either | {"parameters": _HEADERS})
