"""What the stack tells a function is what Cloud Run would tell it."""

import pytest

from local_cloud.stack.settings import Plan, function_environment, load_functions

FUNCTIONS = load_functions()
PLATFORM = {
    "FUNCTION_SOURCE",
    "FUNCTION_TARGET",
    "FUNCTION_USE_ASGI",
    "K_SERVICE",
    "PORT",
    "THREADS",
}
"""What Cloud Run and the builder give every function."""
LED_TO_LOOPBACK = {
    "CLOUDSDK_CONFIG",
    "GCE_METADATA_HOST",
    "GCE_METADATA_IP",
    "PUBSUB_EMULATOR_HOST",
    "STORAGE_EMULATOR_HOST",
}
"""The settings that Google's own libraries have."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_told_what_it_lists_and_nothing_of_ours(
    name, tmp_path, monkeypatch
):
    for variable in ("LEDGER_URL", "MQTT_URL", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(variable, "the developer's own")
    plan = Plan(folder=tmp_path, gateway_venv=tmp_path / "venv")

    told = function_environment(plan, name, FUNCTIONS[name])

    assert "the developer's own" not in told.values()
    ours = {key for key in told if key.isupper()} - PLATFORM - LED_TO_LOOPBACK
    ours -= {"HOME", "LANG", "NO_PROXY", "PATH", "TMPDIR"}
    ours -= {key for key in ours if key.startswith(("PYTHON", "OPENBLAS_"))}
    assert ours <= set(FUNCTIONS[name]["settings"])
    assert told["FUNCTION_TARGET"] == name
    assert ("FUNCTION_USE_ASGI" in told) == FUNCTIONS[name].get("asgi", False)
    assert told["FUNCTION_SOURCE"] == "main.py"


def test_every_process_keeps_its_port_over_restarts(tmp_path):
    plan = Plan(folder=tmp_path, gateway_venv=tmp_path / "venv")

    assert plan.port("storage") == plan.port("storage")
    assert plan.port("storage") != plan.port("pubsub")
