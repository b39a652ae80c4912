"""Answer predictions: the thinnest proxy in front of Vertex AI.

Bodies pass unchanged in both directions; only headers are translated, because
Vertex AI delivers every `rawPredict` to one route and promises to forward no
other header. Health and metadata are answered here.

Imports neither numpy nor a Google SDK: a cold start pays for a copy only.
"""

import re
import time
import uuid
from dataclasses import dataclass

import flask
import functions_framework

from functions import replies, wiring
from functions.adapters.raw_predict import Answer
from functions.errors import NotFoundError, UpstreamRefusedError
from packhorse.errors import MalformedError

REQUEST_MAX_BYTES = 1_500_000
"""What a shared Vertex AI endpoint takes; longer bodies never go upstream."""

_V1 = re.compile(r"/v1/models/([^/:]+):predict")
_V2 = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/infer|/ready)?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SIZE = re.compile(r"[0-9]{1,9}")
_UPSTREAM_SIZE = re.compile(r"json-header-size=([0-9]{1,9})")
_BINARY = "application/vnd.vertex-ai-triton.binary+json;json-header-size="
_V2_SIZE = "Inference-Header-Content-Length"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for.

    Attributes:
        model: Whose endpoint is asked.
        version: The only version that may answer; empty for any.
    """

    model: str
    version: str = ""


@functions_framework.http
@replies.as_json
def predict(request: flask.Request) -> replies.Reply:
    """Serve predictions, health and metadata of the models of `MODEL_ENDPOINTS`."""
    _identify(request)
    if request.method == "POST":
        return _predict(request, _route(request.path))
    if request.method in {"GET", "HEAD"}:
        return _describe(request.path)
    raise NotFoundError(f"there is no {request.method} here")


def _identify(request: flask.Request) -> None:
    came = request.headers.get("X-Request-Id", "")
    request_id = came if _REQUEST_ID.fullmatch(came) else uuid.uuid4().hex
    replies.note(request_id=request_id)

    @flask.after_this_request
    def name(response: flask.Response) -> flask.Response:
        response.headers["X-Request-Id"] = request_id
        return response


def _route(path: str) -> Route:
    if path == "/":
        return _only_model()
    if match := _V1.fullmatch(path):
        return _known(Route(match.group(1)))
    match = _V2.fullmatch(path)
    if match and match.group(3) == "/infer":
        return _known(Route(match.group(1), match.group(2) or ""))
    raise NotFoundError(
        "predictions are asked for with POST /v1/models/MODEL:predict or "
        "POST /v2/models/MODEL/infer"
    )


def _only_model() -> Route:
    models = list(wiring.predictions().endpoints)
    if len(models) != 1:
        raise NotFoundError(
            f"POST / asks the only model, and here are {len(models)}; name one with "
            f"POST /v1/models/MODEL:predict"
        )
    return Route(models[0])


def _known(route: Route) -> Route:
    if route.model not in wiring.predictions().endpoints:
        raise NotFoundError(f"there is no model {route.model[:80]!r} here")
    return route


def _predict(request: flask.Request, route: Route) -> replies.Reply:
    body = replies.read_body(request, limit_bytes=REQUEST_MAX_BYTES)
    settings = wiring.predictions()
    asked_at = time.monotonic()
    answer = wiring.raw_predict().call(
        settings.endpoints[route.model],
        body,
        content_type=_content_type(request),
        timeout_s=settings.timeout_s,
    )
    upstream_ms = round((time.monotonic() - asked_at) * 1000, 1)
    release = _release(route, answer)
    replies.note(
        upstream_ms=upstream_ms,
        model=route.model,
        release=release,
        sent_bytes=len(body),
        received_bytes=len(answer.body),
    )
    _check_pin(route, release)
    return replies.Reply(answer.status, answer.body, _headers(answer, release))


def _content_type(request: flask.Request) -> str:
    """Say upstream how long the JSON part of a binary request is.

    Source: Triton Inference Server, "Vertex AI support"; Open Inference Protocol,
    binary tensor data extension
    """
    size = request.headers.get(_V2_SIZE)
    if size is None:
        return request.headers.get("Content-Type", _JSON)
    if not _SIZE.fullmatch(size):
        raise MalformedError(f"{_V2_SIZE} must be a number, not {size[:40]!r}")
    return f"{_BINARY}{size}"


def _headers(answer: Answer, release: str) -> dict[str, str]:
    headers = {
        "Content-Type": answer.content_type or _JSON,
        "Retry-After": answer.retry_after,
        "X-Packhorse-Release": release,
    }
    if match := _UPSTREAM_SIZE.search(answer.content_type):
        headers["Content-Type"] = "application/octet-stream"
        headers[_V2_SIZE] = match.group(1)
    return {name: value for name, value in headers.items() if value}


def _release(route: Route, answer: Answer) -> str:
    """Name the release that answered; empty where nobody knows."""
    if not answer.deployed_model_id:
        return ""
    endpoint = wiring.predictions().endpoints[route.model]
    return wiring.raw_predict().release_of(endpoint, answer.deployed_model_id)


def _check_pin(route: Route, release: str) -> None:
    """Count, and by setting refuse, an answer of another release than the pinned."""
    settings = wiring.predictions()
    pin = settings.pins.get(route.model, "")
    asked = f"{route.model}@{route.version}" if route.version else ""
    if pin and release != pin:
        replies.note(is_unpinned=True)
        if settings.is_pin_enforced:
            raise UpstreamRefusedError(
                f"{release or 'an unknown release'} answered, and only {pin} may"
            )
    if asked and release and release != asked:
        raise NotFoundError(f"{release} answers here, not {asked}")


def _describe(path: str) -> replies.Reply:
    if path == "/v2/health/live":
        return replies.ok({"live": True})
    if path == "/v2/health/ready":
        wiring.raw_predict().prepare()
        return replies.ok({"ready": True})
    if path == "/v2":
        return replies.ok({"name": "packhorse", "extensions": ["binary_tensor_data"]})
    match = _V2.fullmatch(path)
    if match is None or match.group(3) == "/infer":
        raise NotFoundError(f"there is no GET {path[:200]}")
    route = _known(Route(match.group(1), match.group(2) or ""))
    return _describe_model(route, is_short=match.group(3) == "/ready")


def _describe_model(route: Route, *, is_short: bool) -> replies.Reply:
    endpoint = wiring.predictions().endpoints[route.model]
    names = wiring.raw_predict().read_releases(endpoint)
    versions = [name.rpartition("@")[2] for name in names]
    if route.version and route.version not in versions:
        raise NotFoundError(
            f"{route.model} is deployed in the versions {versions}, "
            f"not {route.version[:20]!r}"
        )
    if is_short:
        return replies.ok({"name": route.model, "ready": True})
    # What tensors it takes is in the bundle, which this function never reads.
    return replies.ok(
        {
            "name": route.model,
            "versions": versions,
            "platform": "onnxruntime_onnx",
            "inputs": [],
            "outputs": [],
        }
    )
