"""What a person sets for the agent: a wrong setting is named."""

import pytest

from edge_runtime.errors import SettingsError
from edge_runtime.settings.agent_settings import ShadowSettings, agent_settings
from packhorse.shadow_limits import ShadowLimits


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


def test_a_private_authority_vouches_for_the_broker_too(agent, tmp_path):
    ours, the_brokers = tmp_path / "ca.pem", tmp_path / "broker.pem"
    ours.touch()
    the_brokers.touch()
    assert agent_settings(agent).ca_file is None

    agent["PACKHORSE_CA_FILE"] = str(ours)
    assert agent_settings(agent).ca_file == ours
    assert agent_settings(agent).mqtt.ca_file == ours

    agent["PACKHORSE_MQTT_CA_FILE"] = str(the_brokers)
    assert agent_settings(agent).mqtt.ca_file == the_brokers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PACKHORSE_CA_FILE", "/nowhere/ca.pem"),
        ("PACKHORSE_DEVICE", ""),
        ("PACKHORSE_MODEL", "Magika"),
        ("PACKHORSE_RING", "100"),
        ("PACKHORSE_VARIANTS", "fp32,,int8"),
        ("PACKHORSE_REPOSITORY_URL", "gs://bucket"),
        ("PACKHORSE_ROOT_FILE", "/nowhere/root.json"),
        ("PACKHORSE_MQTT_PROTOCOL", "4"),
        ("PACKHORSE_WINDOW", "at night"),
        ("PACKHORSE_DOWNLOAD_WINDOW", "00:00-25:00"),
        ("PACKHORSE_MAY_DOWNLOAD", "true"),
        ("PACKHORSE_MAY_SWITCH", "/nowhere"),
        ("PACKHORSE_BEFORE_SWITCH", "'/bin/sh"),
        ("PACKHORSE_AFTER_SWITCH", "sh -c true"),
        ("PACKHORSE_HOOK_S", "0"),
        ("PACKHORSE_SHADOW_S", "0"),
        ("PACKHORSE_SHADOW_REQUESTS", "0"),
        ("PACKHORSE_SHADOW_MIN_AGREEMENT", "1.1"),
        ("PACKHORSE_SHADOW_MAX_LATENCY_RATIO", "0"),
        ("PACKHORSE_SHADOW_MAX_LATENCY_RATIO", "nan"),
    ],
)
def test_a_wrong_agent_setting_is_named(agent, name, value):
    with pytest.raises(SettingsError, match=name):
        agent_settings({**agent, name: value})


def test_a_gateway_may_be_strict_with_candidates(agent):
    limits = {
        "PACKHORSE_SHADOW_S": "5",
        "PACKHORSE_SHADOW_REQUESTS": "10",
        "PACKHORSE_SHADOW_MIN_AGREEMENT": "0.9",
        "PACKHORSE_SHADOW_MAX_LATENCY_RATIO": "2.5",
    }
    shadow = agent_settings(agent | limits).shadow
    assert shadow == ShadowSettings(5.0, 10, ShadowLimits(0.9, 2.5))
    assert agent_settings(agent).shadow == ShadowSettings(60.0, 200)


def test_a_bucket_is_read_without_a_token_unless_one_is_to_be_had(agent):
    assert agent_settings(agent).token_url == ""
    token = {"PACKHORSE_TOKEN_URL": "https://token.example/"}
    assert agent_settings(agent | token).token_url == "https://token.example"


def test_a_token_leaves_this_machine_over_tls_or_not_at_all(agent):
    token = {"PACKHORSE_TOKEN_URL": "https://token.example"}
    for address, is_safe in (
        ("http://storage.example/bucket", False),
        ("http://127.0.0.1.example/bucket", False),
        ("https://storage.example/bucket", True),
        ("http://localhost:8080/bucket", True),
    ):
        wanted = agent | token | {"PACKHORSE_REPOSITORY_URL": address}
        if is_safe:
            assert agent_settings(wanted).repository_url == address
        else:
            with pytest.raises(SettingsError, match="https://"):
                agent_settings(wanted)
