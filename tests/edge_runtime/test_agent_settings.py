"""What a person sets for the agent: a wrong setting is named."""

import pytest

from edge_runtime.agent_settings import agent_settings
from edge_runtime.errors import SettingsError


@pytest.fixture
def agent(tmp_path):
    (tmp_path / "root.json").touch()
    return {
        "PACKHORSE_STATE_DIR": "/var/lib/packhorse",
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
