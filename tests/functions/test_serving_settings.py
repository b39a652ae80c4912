"""Settings of deploying, rolling out, notifying and predicting."""

import json

import pytest

from functions import settings
from functions.errors import SettingsError

ENDPOINT = "projects/p/locations/l/endpoints/1"
NAMED = {"candidate": ENDPOINT, "serving": ENDPOINT}
BASE = {
    "GOOGLE_CLOUD_PROJECT": "p",
    "REGION": "europe-west4",
    "SERVING_IMAGE": "europe-west4-docker.pkg.dev/p/i/edge:1",
    "MODEL_ENDPOINTS": json.dumps({"magika": NAMED}),
}


def test_the_region_leads_to_googles_own_host():
    found = settings.serving_settings(BASE)

    assert found.api_url == "https://europe-west4-aiplatform.googleapis.com"
    assert found.parent == "projects/p/locations/europe-west4"
    assert (found.min_replicas, found.max_replicas) == (1, 1)


def test_another_host_is_a_setting():
    env = {**BASE, "VERTEX_ENDPOINT": "http://127.0.0.1:1/"}

    assert settings.vertex_url(env) == "http://127.0.0.1:1"


def test_each_model_has_two_endpoints():
    found = settings.model_endpoints(BASE)["magika"]

    assert (found.candidate, found.serving) == (ENDPOINT, ENDPOINT)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"magika": 1}',
        json.dumps({"magika": {"serving": ENDPOINT}}),
        json.dumps({"magika": {**NAMED, "candidate": "endpoints/1"}}),
    ],
)
def test_endpoints_that_lead_nowhere_are_refused_by_name(value):
    with pytest.raises(SettingsError, match="MODEL_ENDPOINTS"):
        settings.model_endpoints({**BASE, "MODEL_ENDPOINTS": value})


def test_a_gate_has_defaults_that_hold_for_a_day():
    found = settings.gate_settings({})

    assert (found.soak_s, found.min_success_ratio) == (86_400, 0.9)
    assert found.fleet_share == 0.05


@pytest.mark.parametrize(
    ("name", "value"),
    [("MQTT_URL", "http://broker"), ("MQTT_PROTOCOL", "4")],
)
def test_a_broker_that_speaks_something_else_is_refused(name, value):
    with pytest.raises(SettingsError, match=name):
        settings.broker_settings({name: value})


def test_no_broker_is_no_fault():
    assert settings.broker_settings({}).url == ""


def test_the_workflow_is_named_in_full():
    workflow = "projects/p/locations/l/workflows/release"

    found = settings.workflow_settings({"RELEASE_WORKFLOW": workflow})

    assert found.workflow == workflow
    assert found.api_url == "https://workflowexecutions.googleapis.com"
    with pytest.raises(SettingsError, match="RELEASE_WORKFLOW"):
        settings.workflow_settings({"RELEASE_WORKFLOW": "release"})


def test_a_pin_is_optional_and_enforced_only_when_asked():
    free = settings.predict_settings(BASE)
    pinned = {**BASE, "MODEL_PIN": '{"magika": "magika@2"}', "MODEL_PIN_ENFORCE": "1"}
    bound = settings.predict_settings(pinned)

    assert (free.pins, free.is_pin_enforced, free.timeout_s) == ({}, False, 60.0)
    assert (bound.pins, bound.is_pin_enforced) == ({"magika": "magika@2"}, True)
    assert bound.endpoints == {"magika": ENDPOINT}
