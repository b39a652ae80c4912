"""Which routes there are beside the protocol's own, and what they answer."""

import json

import pytest

from edge_runtime.errors import NotAllowedError, SlotError, UnknownModelError
from edge_runtime.extensions import answering, extension_routes
from edge_runtime.model_session import ModelSession
from edge_runtime.models.models import Models
from edge_runtime.models.run_plan import RunPlan
from edge_runtime.models.served_model import ServedModel
from edge_runtime.routes import build_routes
from edge_runtime.service import Service
from packhorse.errors import LimitExceededError, MalformedError
from tests.models import tiny_model


@pytest.fixture
def service(tmp_path):
    """Serve one release, and nothing else."""
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model())
    models = Models()
    session = ModelSession(path)
    models.add(ServedModel("tiny", "2", session, RunPlan(), "slot a", sample={}))
    return Service(models)


def test_a_server_without_models_has_routes_for_all_of_them():
    routes = extension_routes(Service(Models()))

    assert set(routes) == {("GET", "/v1/models"), ("GET", "/v2/models/stats")}
    assert json.loads(routes["GET", "/v1/models"](b"").body) == {"models": []}


def test_a_model_has_routes_with_and_without_its_version(service):
    routes = extension_routes(service)

    for path in ("/v2/models/tiny", "/v2/models/tiny/versions/2"):
        config = routes["GET", f"{path}/config"](b"")
        assert json.loads(config.body)["name"] == "tiny"
        assert config.headers == (("X-Packhorse-Release", "tiny@2"),)
        stats = json.loads(routes["GET", f"{path}/stats"](b"").body)
        assert [each["version"] for each in stats["model_stats"]] == ["2"]


def test_the_hot_path_answers_them_without_flask(service):
    served = build_routes(service)

    for method, path in extension_routes(service):
        assert (method.encode(), path.encode()) in served


def test_kserves_first_protocol_says_whether_a_model_is_ready(service):
    ready = extension_routes(service)["GET", "/v1/models/tiny"]

    assert json.loads(ready(b"").body) == {"name": "tiny", "ready": True}
    service.models.get("tiny").reason = "it fails"
    assert ready(b"").status == 503


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownModelError("x"), 404),
        (NotAllowedError("x"), 403),
        (MalformedError("x"), 400),
        (LimitExceededError("x"), 413),
        (SlotError("x"), 500),
    ],
)
def test_what_a_handler_raises_is_answered(error, status):
    def fail(_body):
        raise error

    reply = answering(fail)(b"")

    assert (reply.status, json.loads(reply.body)) == (status, {"error": "x"})
