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


DEDICATED = {
    "name": ENDPOINT,
    "kind": "dedicated",
    "url": "https://1.l-2.prediction.vertexai.goog/",
    "timeout_s": 600,
}


def predict_settings(entry=NAMED, **env):
    models = json.dumps({"magika": entry})
    return settings.predict_settings({**BASE, "MODEL_ENDPOINTS": models, **env})


def test_a_pin_is_optional_and_enforced_only_when_asked():
    free = predict_settings().models["magika"]
    bound = predict_settings(
        MODEL_PIN='{"magika": "magika@2"}', MODEL_PIN_ENFORCE="1"
    ).models["magika"]

    assert (free.pin, free.is_pin_enforced) == ("", False)
    assert (bound.pin, bound.is_pin_enforced) == ("magika@2", True)


def test_an_endpoint_is_shared_unless_it_says_otherwise():
    found = predict_settings().models["magika"].serving

    assert (found.name, found.kind) == (ENDPOINT, "shared")
    assert found.url == "https://europe-west4-aiplatform.googleapis.com"
    assert (found.request_max_bytes, found.timeout_s) == (1_500_000, 60.0)


@pytest.mark.parametrize("kind", ["dedicated", "psc"])
def test_an_endpoint_with_a_host_of_its_own_takes_more_and_longer(kind):
    entry = {"serving": {**DEDICATED, "kind": kind}}

    model = predict_settings(entry).models["magika"]

    assert model.serving.url == "https://1.l-2.prediction.vertexai.goog"
    assert (model.serving.request_max_bytes, model.serving.timeout_s) == (10**7, 600.0)
    assert model.candidate is None


def test_an_endpoint_that_says_more_is_still_deployed_to():
    env = {
        **BASE,
        "MODEL_ENDPOINTS": json.dumps({"m": {**NAMED, "serving": DEDICATED}}),
    }

    assert settings.model_endpoints(env)["m"].serving == ENDPOINT


@pytest.mark.parametrize(
    ("serving", "why"),
    [
        ({**DEDICATED, "kind": "private"}, "kind"),
        ({**DEDICATED, "url": "ftp://x"}, "url"),
        ({"name": ENDPOINT, "kind": "psc"}, "url"),
        ({"name": ENDPOINT, "url": "https://x"}, "no url"),
        ({"name": ENDPOINT, "timeout_s": 61}, "timeout_s"),
        ({**DEDICATED, "timeout_s": 3601}, "timeout_s"),
        ({**DEDICATED, "timeout_s": "60"}, "timeout_s"),
        ({**DEDICATED, "timeout_s": True}, "timeout_s"),
        ({**DEDICATED, "host": "x"}, "host"),
        ({"kind": "dedicated"}, "endpoints/E"),
    ],
)
def test_an_endpoint_that_contradicts_itself_is_refused(serving, why):
    with pytest.raises(SettingsError, match=f"MODEL_ENDPOINTS.*{why}"):
        predict_settings({"serving": serving})


def test_what_is_set_for_some_models_reaches_them():
    found = predict_settings(
        SHADOW_SHARE='{"magika": 0.05}',
        RETRY_TIMEOUTS="magika",
        PREDICT_LOG="full",
        PREDICT_LOG_RATIO="0.5",
        PREDICT_TIMEOUT_S="2.5",
    )

    model = found.models["magika"]
    assert (model.shadow_share, model.retries_timeouts) == (0.05, True)
    assert model.serving.timeout_s == 2.5
    assert (found.log_policy, found.log_ratio) == ("full", 0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODEL_PIN", '{"other": "other@1"}'),
        ("MODEL_PIN", '{"magika": "other@1"}'),
        ("MODEL_PIN", '{"magika": "1"}'),
        ("MODEL_PIN", "[]"),
        ("SHADOW_SHARE", '{"magika": 1.1}'),
        ("SHADOW_SHARE", '{"magika": "0.1"}'),
        ("SHADOW_SHARE", '{"other": 0.1}'),
        ("RETRY_TIMEOUTS", "magika, other"),
        ("PREDICT_LOG", "all"),
        ("PREDICT_LOG_RATIO", "1.1"),
        ("PREDICT_BYTES_MAX", "0"),
        ("PREDICT_REQUESTS_MAX", "none"),
        ("PREDICT_TIMEOUT_S", "0"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(name, value):
    with pytest.raises(SettingsError, match=name):
        predict_settings(**{name: value})
