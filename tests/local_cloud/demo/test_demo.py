"""The demo comes true, and leaves nothing behind however it ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]
TOOK_AT_MOST_S = 280.0
START_S = 60.0

pytestmark = pytest.mark.timeout(TOOK_AT_MOST_S + 10)


@pytest.fixture
def start(tmp_path):
    """Start the demo; all its processes carry this test's own folder."""
    started = []

    def do(*words):
        command = [sys.executable, "-m", "local_cloud.demo", *words]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield do
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=START_S)


def processes_of(folder):
    """Return the command lines of processes that carry the folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(folder):
                found.append(process.cmdline())
    return found


def test_the_story_comes_true_and_leaves_nothing_behind(start, tmp_path):
    demo = start("--cache", str(ROOT / ".cache"), "--once")

    output, _ = demo.communicate(timeout=TOOK_AT_MOST_S)

    assert demo.returncode == 0, output
    assert "Traceback" not in output
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_demo_leaves_nothing_behind(start, tmp_path):
    demo = start("--cache", str(ROOT / ".cache"), "--once")
    until = time.monotonic() + START_S
    while len(processes_of(tmp_path)) < 8:
        assert time.monotonic() < until
        time.sleep(0.05)

    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=START_S)

    assert demo.returncode == 130, output
    assert "Traceback" not in output
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_without_models_and_network_it_says_so(start, tmp_path):
    demo = start("--cache", str(tmp_path / "empty"), "--once")

    output, _ = demo.communicate(timeout=START_S)

    assert demo.returncode == 1
    assert "Traceback" not in output
    assert "make demo" in output
