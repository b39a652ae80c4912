"""The command line."""

import json
import os
import subprocess
import sys

import pytest

from tests.edge_runtime.gateways import ROOT, install_tiny


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
