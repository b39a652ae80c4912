"""A disk that turned read-only, as one does that fails: what is installed serves."""

import json
import shutil
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress

import pytest

from tests.edge_runtime.gateways import ROOT, install_tiny, wait_for
from tests.edge_runtime.test_main import run

READ_ONLY = (
    'mount --bind "$PACKHORSE_STATE_DIR" "$PACKHORSE_STATE_DIR"'
    ' && mount -o remount,bind,ro "$PACKHORSE_STATE_DIR" && exec "$@"'
)
INSIDE = ["unshare", "--mount", "--map-root-user", "sh", "-c", READ_ONLY, "sh"]


def can_mount(folder):
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PACKHORSE_STATE_DIR": folder}
    done = subprocess.run(
        [*INSIDE, "true"], env=environ, capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.fixture
def read_only(state_dir):
    """A state directory that served once, and takes nothing any more."""
    state_dir.mkdir()
    if shutil.which("unshare") is None or not can_mount(str(state_dir)):
        pytest.skip("a read-only mount needs root, or namespaces of one's own")
    install_tiny(state_dir, "a", 1, is_active=True)
    (state_dir / "run").mkdir()
    (state_dir / "run" / "supervisor.lock").touch()
    return state_dir


@contextmanager
def serving(state_dir, log):
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*INSIDE, sys.executable, "-m", "edge_runtime", "serve"],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONPATH": str(ROOT),
                "PACKHORSE_STATE_DIR": str(state_dir),
                "PACKHORSE_LISTEN": "127.0.0.1:0",
            },
            stdout=file,
            stderr=file,
        )
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(30) == 0


def events(log):
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return {line["event"]: line for line in lines}


def is_ready(log):
    with suppress(OSError, KeyError):
        port = events(log)["serving"]["port"]
        url = f"http://127.0.0.1:{port}/v2/models/tiny/ready"
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    return False


def test_what_is_installed_serves_from_a_disk_that_takes_nothing(read_only, tmp_path):
    log = tmp_path / "serve.log"
    with serving(read_only, log):
        wait_for(lambda: is_ready(log))
    assert "Read-only" in events(log)["control_failed"]["reason"]


def test_status_says_that_the_disk_takes_nothing(read_only):
    environ = {"PACKHORSE_STATE_DIR": str(read_only)}
    command = [sys.executable, "-m", "edge_runtime", "status"]
    done = subprocess.run(
        [*INSIDE, *command],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": ROOT, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "disk    read-only: nothing new can be taken" in done.stdout
    assert "disk" not in run("status", **environ).stdout
