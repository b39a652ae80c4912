"""On a terminal something moves; elsewhere nothing does."""

import os
import pty
import threading

import pytest

from tests.packhorse.cli.people import reply


@pytest.fixture
def terminal():
    """Both ends of a terminal, and what was shown on it so far."""
    near, far = pty.openpty()
    shown = []

    def read():
        while True:
            try:
                shown.append(os.read(near, 65_536))
            except OSError:
                return

    reading = threading.Thread(target=read)
    reading.start()
    yield far, shown, reading
    reading.join()
    os.close(near)


def test_a_push_shows_its_progress_and_a_watch_its_lines(
    person, server, files, terminal
):
    far, shown, reading = terminal
    server.on("POST", "*", (202, {"Location": "/upload"}, b""))
    server.on("PUT", "*", (201, {}, b""))
    rows = [{"at": "", "what": "registered"}, {"at": "", "what": "rollout finished"}]
    server.on("GET", "/v1/releases/m@1", reply({"history": rows}))
    person.environ |= {"PACKHORSE_OPERATE_URL": server.url, "TERM": "xterm"}
    words = ["push", files.model(), "--name", "m", "--golden", files.golden()]
    process = person.start(
        *words, "--registry", f"{server.url}/a/b", stdout=far, stderr=far, text=False
    )
    assert process.wait(20) == 0
    os.close(far)
    reading.join()
    screen = b"".join(shown).decode()
    assert "uploading model.onnx" in screen
    assert "m@1 is on its way" in screen
    assert "rollout finished" in screen


def test_elsewhere_nothing_moves(person, server, files):
    server.on("POST", "*", (202, {"Location": "/upload"}, b""))
    server.on("PUT", "*", (201, {}, b""))
    words = ["push", files.model(), "--name", "m", "--golden", files.golden()]
    process = person.start(*words, "--registry", f"{server.url}/a/b")
    shown, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert shown.startswith("pushed m@1  sha256:")
    assert len(shown.splitlines()) == 1
