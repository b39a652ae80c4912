"""What a method and a path ask for."""

import pytest

from functions.errors import MethodError, NotFoundError
from functions.prediction.routes import Route, RouteKind, find_route


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", "/", Route(RouteKind.PREDICT)),
        ("POST", "/v1/models/m:predict", Route(RouteKind.PREDICT, "m")),
        ("POST", "/v1/models/m:rawPredict", Route(RouteKind.RAW, "m")),
        ("POST", "/v2/models/m/infer", Route(RouteKind.INFER, "m")),
        ("POST", "/v2/models/m/versions/3/infer", Route(RouteKind.INFER, "m", "3")),
        ("POST", "/v2/repository/index", Route(RouteKind.INDEX)),
        ("GET", "/", Route(RouteKind.ALIVE)),
        ("GET", "/v1/models/m", Route(RouteKind.V1_MODEL, "m")),
        ("GET", "/v2", Route(RouteKind.SERVER)),
        ("GET", "/v2/", Route(RouteKind.SERVER)),
        ("GET", "/v2/health/live", Route(RouteKind.LIVE)),
        ("GET", "/v2/health/ready", Route(RouteKind.READY)),
        ("GET", "/v2/models/m", Route(RouteKind.MODEL, "m")),
        ("GET", "/v2/models/m/versions/3", Route(RouteKind.MODEL, "m", "3")),
        (
            "GET",
            "/v2/models/m/versions/3/ready",
            Route(RouteKind.MODEL_READY, "m", "3"),
        ),
        ("GET", "/v2/models/m/ready", Route(RouteKind.MODEL_READY, "m")),
        ("GET", "/releases", Route(RouteKind.RELEASES)),
    ],
)
def test_every_route_is_found(method, path, route):
    assert find_route(method, path) == route


def test_head_asks_like_get():
    assert find_route("HEAD", "/v2") == find_route("GET", "/v2")


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/v1/models/m:explain",
        "/v1/models/m:predict/",
        "/v1/models/",
        "/v2/models//infer",
        "/v2/models/m/explain",
        "//",
        "",
    ],
)
def test_what_is_not_here_says_what_is(path):
    with pytest.raises(NotFoundError, match="/v2/models/MODEL/infer"):
        find_route("POST", path)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/m/config",
        "/v2/models/m/versions/3/stats",
        "/v2/repository/models/m/load",
        "/v2/systemsharedmemory/status",
        "/v2/logging",
    ],
)
def test_what_only_a_server_with_models_has_is_said_to_be_missing(path):
    with pytest.raises(NotFoundError, match="holds no model"):
        find_route("GET", path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2/models/m/infer", ("POST",)),
        ("HEAD", "/v1/models/m:predict", ("POST",)),
        ("POST", "/v2/models/m", ("GET",)),
        ("DELETE", "/", ("GET", "POST")),
        ("PUT", "/v1/models/m", ("GET",)),
    ],
)
def test_another_method_is_told_the_right_one(method, path, allowed):
    with pytest.raises(MethodError, match=" or ".join(allowed)) as caught:
        find_route(method, path)

    assert caught.value.allowed == allowed


def test_a_long_path_of_slashes_is_refused_at_once():
    with pytest.raises(NotFoundError):
        find_route("GET", "/v2/models/" + "a/" * 30_000)
