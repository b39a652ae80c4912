"""A missing or wrong setting is named."""

from pathlib import Path

import pytest

from edge_runtime.errors import SettingsError
from edge_runtime.settings import agent_settings, serve_settings

SERVE = {"PACKHORSE_STATE_DIR": "/var/lib/packhorse"}
CONTAINER = {
    "AIP_HTTP_PORT": "8080",
    "AIP_HEALTH_ROUTE": "/health",
    "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
    "AIP_STORAGE_URI": "gs://bucket/targets/bundles/m/1/",
    "PACKHORSE_BUNDLE_SHA256": "0" * 64,
}


@pytest.fixture
def agent(tmp_path):
    (tmp_path / "root.json").touch()
    return {
        **SERVE,
        "PACKHORSE_DEVICE": "gateway-1",
        "PACKHORSE_RING": "0",
        "PACKHORSE_MODEL": "magika",
        "PACKHORSE_VARIANTS": "int8, fp32",
        "PACKHORSE_REPOSITORY_URL": "http://127.0.0.1:1/bucket/",
        "PACKHORSE_ROOT_FILE": str(tmp_path / "root.json"),
        "PACKHORSE_ENROLL_URL": "http://127.0.0.1:2",
        "PACKHORSE_REPORT_URL": "http://127.0.0.1:3",
        "PACKHORSE_MQTT_URL": "mqtt://127.0.0.1:4",
    }


def test_a_gateway_listens_on_loopback_unless_told_otherwise():
    settings = serve_settings(SERVE)
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.state_dir == Path("/var/lib/packhorse")
    assert settings.container is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PACKHORSE_STATE_DIR", ""),
        ("PACKHORSE_STATE_DIR", "relative"),
        ("PACKHORSE_LISTEN", "0.0.0.0:80"),
        ("PACKHORSE_LISTEN", "localhost:80"),
        ("PACKHORSE_LISTEN", "127.0.0.1:99999"),
        ("PACKHORSE_LISTEN", "127.0.0.1"),
        ("PACKHORSE_PROBATION_S", "soon"),
        ("PACKHORSE_PROBATION_S", "nan"),
        ("PACKHORSE_BODY_MAX_BYTES", "-1"),
    ],
)
def test_a_wrong_serve_setting_is_named(name, value):
    with pytest.raises(SettingsError, match=name):
        serve_settings({**SERVE, name: value})


def test_ipv6_loopback_is_loopback():
    settings = serve_settings({**SERVE, "PACKHORSE_LISTEN": "[::1]:81"})
    assert (settings.host, settings.port) == ("::1", 81)


def test_vertex_ai_is_listened_to_from_everywhere():
    settings = serve_settings(CONTAINER)
    assert settings.host == "0.0.0.0"
    assert settings.container.storage_url == "https://storage.googleapis.com"


def test_a_container_can_be_led_to_loopback():
    more = {
        "PACKHORSE_LISTEN_HOST": "127.0.0.1",
        "STORAGE_EMULATOR_HOST": "localhost:5",
    }
    settings = serve_settings({**CONTAINER, **more})
    assert settings.host == "127.0.0.1"
    assert settings.container.storage_url == "http://localhost:5"


@pytest.mark.parametrize("name", [n for n in CONTAINER if n != "AIP_HTTP_PORT"])
def test_a_missing_container_setting_is_named(name):
    with pytest.raises(SettingsError, match=name):
        serve_settings({k: v for k, v in CONTAINER.items() if k != name})


def test_the_agent_reads_its_settings(agent):
    settings = agent_settings(agent)
    assert settings.variants == ("int8", "fp32")
    assert settings.repository_url == "http://127.0.0.1:1/bucket"
    assert settings.mqtt.protocol == "5"
    assert agent_settings({**agent, "PACKHORSE_MQTT_URL": ""}).mqtt is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PACKHORSE_DEVICE", ""),
        ("PACKHORSE_MODEL", "Magika"),
        ("PACKHORSE_RING", "100"),
        ("PACKHORSE_VARIANTS", "fp32,,int8"),
        ("PACKHORSE_REPOSITORY_URL", "gs://bucket"),
        ("PACKHORSE_ROOT_FILE", "/nowhere/root.json"),
        ("PACKHORSE_MQTT_PROTOCOL", "4"),
    ],
)
def test_a_wrong_agent_setting_is_named(agent, name, value):
    with pytest.raises(SettingsError, match=name):
        agent_settings({**agent, name: value})
