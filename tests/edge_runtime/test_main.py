"""The command line."""

import json
import os
import socket
import subprocess
import sys

import pytest

from tests.edge_runtime.gateways import ROOT, install_tiny, wait_for
from tests.edge_runtime.repositories import put
from tests.models import tiny_model


def run(*arguments, stdout=subprocess.PIPE, **environ):
    return subprocess.run(
        [sys.executable, "-m", "edge_runtime", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **{k: v for k, v in os.environ.items() if k.startswith("COV")},
            **environ,
        },
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_shows_examples():
    done = run("--help")
    assert done.returncode == 0
    assert "edge-runtime status --json" in done.stdout


def test_status_without_a_supervisor_says_what_is_installed(state_dir):
    install_tiny(state_dir, "a", 1)
    install_tiny(state_dir, "b", 2, is_active=True)
    done = run("status", "--json", PACKHORSE_STATE_DIR=str(state_dir))
    document = json.loads(done.stdout)
    assert document["active"] == "b"
    assert document["slots"] == {"a": "tiny@1", "b": "tiny@2"}
    assert document["serving"]["ready"] is False


def test_status_says_what_serves(start_gateway, state_dir):
    install_tiny(state_dir, "a", 1, is_active=True)
    start_gateway().wait_ready()
    done = run("status", PACKHORSE_STATE_DIR=str(state_dir))
    assert done.returncode == 0
    assert "slot a  tiny@1" in done.stdout
    assert "server  tiny@1: ready" in done.stdout


def test_status_names_the_models_that_serve_without_a_slot(
    start_gateway, state_dir, tmp_path
):
    models_dir = tmp_path / "models"
    put(models_dir, "iris", 1, tiny_model())
    gateway = start_gateway(PACKHORSE_MODELS_DIR=str(models_dir))
    gateway.wait_serving()
    done = run("status", PACKHORSE_STATE_DIR=str(state_dir))
    assert "server  no slot, 1 model of the directory: ready" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].split() == ["model", "iris@1", "ready"]
    assert json.loads(gateway.get("/status")[2])["release"] is None
    assert b"iris@1</h1>" in gateway.get("/")[2]

    put(models_dir, "broken", 2, b"no model")
    gateway.kill_worker()
    wait_for(lambda: gateway.log.read_text().count('"worker_ready"') == 2)
    wait_for(lambda: gateway.status()["worker_pid"])
    done = run("status", "--json", PACKHORSE_STATE_DIR=str(state_dir))
    served = json.loads(done.stdout)["served"]
    assert (served["ready"], served["more"]) == (False, 0)
    states = {model["release"]: model["ready"] for model in served["models"]}
    assert states == {"iris@1": True, "broken@2": False}
    done = run("status", PACKHORSE_STATE_DIR=str(state_dir))
    assert "2 models of the directory: not ready: broken@2: the model" in done.stdout


def test_a_models_directory_without_models_is_named(start_gateway, state_dir, tmp_path):
    (tmp_path / "models").mkdir()
    gateway = start_gateway(PACKHORSE_MODELS_DIR=str(tmp_path / "models"))
    gateway.wait_serving()
    words = f"PACKHORSE_MODELS_DIR={tmp_path / 'models'} holds no models"
    assert words in json.loads(gateway.get("/v2/health/ready")[2])["error"]
    assert words in run("status", PACKHORSE_STATE_DIR=str(state_dir)).stdout


def test_a_broken_model_is_not_loaded_on_request_and_the_client_is_told_why(
    start_gateway, tmp_path
):
    models_dir = tmp_path / "models"
    put(models_dir, "iris", 1, tiny_model())
    settings = {"PACKHORSE_MODELS_DIR": str(models_dir), "PACKHORSE_ALLOW_LOAD": "1"}
    gateway = start_gateway(**settings)
    gateway.wait_serving()
    put(models_dir, "broken", 2, b"no model")
    path = "/v2/repository/models/broken/load"
    status, _, body = gateway.request("POST", path)
    assert status == 400
    assert json.loads(body)["error"].startswith("broken@2: the model file is")
    assert gateway.get("/v2/health/ready")[0] == 200


def test_an_address_in_use_is_told_at_once(start_gateway):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        gateway = start_gateway(PACKHORSE_LISTEN=f"127.0.0.1:{port}")
        wait_for(lambda: "listen_waits" in gateway.log.read_text())
        (line,) = gateway.log.read_text().splitlines()
        assert json.loads(line)["listen"] == f"127.0.0.1:{port}"
    gateway.wait_serving()
    assert gateway.get("/v2/health/live")[0] == 200


def test_the_log_knows_its_outcomes():
    done = run("log", "--outcome", "wrong")
    assert done.returncode == 2
    assert "'model_failed'" in done.stderr


def test_a_gateway_keeps_nothing_for_the_maker_of_its_runtime(
    start_gateway, state_dir, tmp_path
):
    """ONNX Runtime notes in both folders what it would tell its maker."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    install_tiny(state_dir, "a", 1, is_active=True)

    start_gateway(HOME=str(home), TMPDIR=str(temporary)).wait_ready()

    assert [*home.rglob("*"), *temporary.rglob("*")] == []


@pytest.mark.parametrize("command", ["serve", "status", "agent", "log"])
def test_help_of_a_command_lists_its_settings_and_examples(command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert "PACKHORSE_STATE_DIR" in done.stdout
    assert f"edge-runtime {command}" in done.stdout.partition("example")[2]


@pytest.mark.parametrize("command", ["serve", "status", "log"])
def test_a_missing_setting_is_a_sentence_and_no_traceback(command):
    done = run(command)
    assert done.returncode == 1
    assert done.stderr == (
        "edge-runtime: the setting PACKHORSE_STATE_DIR is missing; "
        f"`edge-runtime {command} --help` lists all\n"
    )


def test_all_missing_settings_are_named_at_once():
    done = run("agent", PACKHORSE_STATE_DIR="/nowhere", PACKHORSE_RING="0")
    assert done.returncode == 1
    assert "the settings PACKHORSE_DEVICE, PACKHORSE_MODEL, " in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["serve", "status", "log"])
def test_a_state_directory_that_cannot_be_is_a_sentence(command):
    done = run(command, PACKHORSE_STATE_DIR="/dev/null")
    assert done.returncode == 1
    assert done.stderr.startswith("edge-runtime: ")
    assert "/dev/null" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_full_disk_is_a_sentence(state_dir):
    state_dir.mkdir(exist_ok=True)
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = run("status", stdout=full, PACKHORSE_STATE_DIR=str(state_dir))
    assert (done.returncode, done.stderr) == (
        1,
        "edge-runtime: No space left on device\n",
    )
