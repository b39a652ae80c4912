"""What Flask answers by itself: refusals with a sentence, and the pages."""

import pytest

from edge_runtime.app import create_app
from edge_runtime.counts import Counts
from edge_runtime.models.models import Models
from edge_runtime.service import Service
from edge_runtime.settings.serve_settings import Limits
from edge_runtime.views.overview import Overview


@pytest.fixture
def client():
    models = Models(reason="no release is installed yet")
    overview = Overview(models, Counts(), Limits())
    return create_app(Service(models), overview).test_client()


def test_a_path_that_nobody_serves_is_a_sentence(client):
    reply = client.get("/nowhere")
    assert (reply.status_code, reply.json) == (
        404,
        {"error": "nothing is served at '/nowhere'"},
    )


def test_a_wrong_method_says_which_are_allowed(client):
    reply = client.post("/v2")
    assert reply.status_code == 405
    assert "GET" in reply.headers["Allow"]
    sentence = "expected GET or HEAD or OPTIONS here, came POST"
    assert reply.json == {"error": sentence}


def test_what_is_done_with_a_model_is_no_part_of_its_name(client):
    reply = client.get("/v1/models/tiny:predict")
    assert reply.status_code == 405
    assert set(reply.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/status", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/openapi.json", "application/json"),
    ],
)
def test_a_server_without_models_tells_of_itself(client, path, content_type):
    for method in (client.get, client.head):
        reply = method(path)
        assert reply.status_code == 200
        assert reply.content_type == content_type
