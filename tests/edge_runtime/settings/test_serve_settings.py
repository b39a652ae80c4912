"""A missing or wrong setting is named."""

from pathlib import Path

import pytest

from edge_runtime.errors import SettingsError
from edge_runtime.settings.serve_settings import LogSettings, serve_settings

SERVE = {"PACKHORSE_STATE_DIR": "/var/lib/packhorse"}
CONTAINER = {
    "AIP_HTTP_PORT": "8080",
    "AIP_HEALTH_ROUTE": "/health",
    "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
    "AIP_STORAGE_URI": "gs://bucket/targets/bundles/m/1/",
    "PACKHORSE_BUNDLE_SHA256": "0" * 64,
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
        ("PACKHORSE_LISTEN", ":80"),
        ("PACKHORSE_LISTEN", "gw-17:80"),
        ("PACKHORSE_LISTEN", "127.0.0.1:99999"),
        ("PACKHORSE_LISTEN", "127.0.0.1"),
        ("PACKHORSE_PROBATION_S", "soon"),
        ("PACKHORSE_PROBATION_S", "nan"),
        ("PACKHORSE_BODY_MAX_BYTES", "-1"),
        ("PACKHORSE_BODY_MAX_BYTES", "9" * 5000),
        ("PACKHORSE_BODY_MAX_BYTES", "\u0661"),
        ("PACKHORSE_MODELS_DIR", "relative"),
        ("PACKHORSE_MODELS_DIR", "/nowhere"),
        ("PACKHORSE_ALLOW_LOAD", "yes"),
        ("PACKHORSE_PROCESSES", "0"),
        ("PACKHORSE_PROCESSES", "65"),
        ("PACKHORSE_BATCHES_AHEAD_MAX", "0"),
        ("PACKHORSE_BATCH_ROWS_MAX", "0"),
        ("PACKHORSE_PREDICTION_LOG", "some"),
        ("PACKHORSE_PREDICTION_LOG_RATIO", "1.1"),
        ("PACKHORSE_PREDICTION_LOG_RATIO", "nan"),
        ("PACKHORSE_PREDICTION_LOG_RATIO", "half"),
    ],
)
def test_a_wrong_serve_setting_is_named(name, value):
    with pytest.raises(SettingsError, match=name):
        serve_settings({**SERVE, name: value})


def test_what_is_set_for_models_and_the_log_is_read(tmp_path):
    settings = serve_settings(
        {
            **SERVE,
            "PACKHORSE_MODELS_DIR": str(tmp_path),
            "PACKHORSE_ALLOW_LOAD": "1",
            "PACKHORSE_BATCH_ROWS_MAX": "1",
            "PACKHORSE_PREDICTION_LOG": "full",
            "PACKHORSE_PREDICTION_LOG_RATIO": "0.5",
            "PACKHORSE_PREDICTION_LOG_MAX_BYTES": "1000",
        }
    )
    assert (settings.models_dir, settings.allow_load) == (tmp_path, True)
    assert settings.limits.batch_rows_max == 1
    assert settings.prediction_log == LogSettings(0.5, "full", 1000)


def test_models_are_not_loaded_into_one_of_several_processes():
    several = {"PACKHORSE_ALLOW_LOAD": "1", "PACKHORSE_PROCESSES": "2"}
    with pytest.raises(SettingsError, match=r"PACKHORSE_PROCESSES=1, came 2"):
        serve_settings({**SERVE, **several})


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("PACKHORSE_ALLOW_LOAD", "0, 1"),
        ("PACKHORSE_PREDICTION_LOG", "full, summary, off"),
    ],
)
def test_a_setting_that_is_a_choice_names_what_there_is_to_choose(name, choices):
    with pytest.raises(SettingsError, match=f"must be one of {choices}, not 'yes'"):
        serve_settings({**SERVE, name: "yes"})


def test_localhost_is_loopback():
    settings = serve_settings({**SERVE, "PACKHORSE_LISTEN": "localhost:81"})
    assert (settings.host, settings.port) == ("127.0.0.1", 81)


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
