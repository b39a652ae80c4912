"""Say what a method and a path ask for.

Source: Vertex AI and KServe, first protocol; Open Inference Protocol, REST; and
what Triton's clients ask beside it.
"""

import re
from dataclasses import dataclass
from enum import Enum

from functions.errors import MethodError, NotFoundError


class RouteKind(Enum):
    """What is asked for."""

    PREDICT = "POST /v1/models/M:predict"
    RAW = "POST /v1/models/M:rawPredict"
    INFER = "POST /v2/models/M/infer"
    INDEX = "POST /v2/repository/index"
    ALIVE = "GET /"
    LIVE = "GET /v2/health/live"
    READY = "GET /v2/health/ready"
    SERVER = "GET /v2"
    V1_MODEL = "GET /v1/models/M"
    MODEL = "GET /v2/models/M"
    MODEL_READY = "GET /v2/models/M/ready"
    RELEASES = "GET /releases"


ASKS_MODEL = frozenset({RouteKind.PREDICT, RouteKind.RAW, RouteKind.INFER})
"""What Vertex AI answers; everything else is answered here."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for.

    Attributes:
        model: Whose endpoint is asked; empty for the only one, or for none.
        version: The only version that may answer; empty for any.
    """

    kind: RouteKind
    model: str = ""
    version: str = ""


_V1 = re.compile(r"/v1/models/([^/:]+)(?::(predict|rawPredict))?")
_V2 = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(infer|ready))?/?")
_FIXED = {
    "/": {"POST": Route(RouteKind.PREDICT), "GET": Route(RouteKind.ALIVE)},
    "/v2": {"GET": Route(RouteKind.SERVER)},
    "/v2/": {"GET": Route(RouteKind.SERVER)},
    "/v2/health/live": {"GET": Route(RouteKind.LIVE)},
    "/v2/health/ready": {"GET": Route(RouteKind.READY)},
    "/v2/repository/index": {"POST": Route(RouteKind.INDEX)},
    "/releases": {"GET": Route(RouteKind.RELEASES)},
}
_V1_VERBS = {
    None: ("GET", RouteKind.V1_MODEL),
    "predict": ("POST", RouteKind.PREDICT),
    "rawPredict": ("POST", RouteKind.RAW),
}
_V2_VERBS = {
    None: ("GET", RouteKind.MODEL),
    "ready": ("GET", RouteKind.MODEL_READY),
    "infer": ("POST", RouteKind.INFER),
}
_ELSEWHERE = re.compile(
    r"/v2/models/([^/]+/)*(config|stats|trace/setting|generate|generate_stream)"
    r"|/v2/repository/models/.+"
    r"|/v2/(systemsharedmemory|cudasharedmemory)/.+"
    r"|/v2/(trace/setting|logging)"
)


def find_route(method: str, path: str) -> Route:
    """Say what is asked for; HEAD asks like GET.

    Raises:
        NotFoundError: Nothing is at this path.
        MethodError: Something is, by another method.
    """
    asked = "GET" if method == "HEAD" else method
    # The two that come thousands of times a second are looked at first.
    if match := _V2.fullmatch(path):
        model, version, verb = match.groups()
        return _by(asked, *_V2_VERBS[verb], model, version or "")
    if match := _V1.fullmatch(path):
        model, verb = match.groups()
        return _by(asked, *_V1_VERBS[verb], model)
    return _fixed(asked, path)


def _by(
    asked: str, method: str, kind: RouteKind, model: str, version: str = ""
) -> Route:
    if asked != method:
        raise _other_method(asked, (method,))
    return Route(kind, model, version)


def _fixed(asked: str, path: str) -> Route:
    routes = _FIXED.get(path)
    if routes is not None:
        if asked not in routes:
            raise _other_method(asked, tuple(sorted(routes)))
        return routes[asked]
    if _ELSEWHERE.fullmatch(path):
        raise NotFoundError(
            "this function passes predictions on and holds no model: "
            "it has no configuration, statistics, memory or settings to tell or change"
        )
    raise NotFoundError(
        "predictions are asked for with POST /v1/models/MODEL:predict or "
        "POST /v2/models/MODEL/infer; GET /releases tells what answers"
    )


def _other_method(asked: str, allowed: tuple[str, ...]) -> MethodError:
    return MethodError(
        f"there is no {asked[:20]} here; use {' or '.join(allowed)}", allowed
    )
