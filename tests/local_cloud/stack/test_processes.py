"""Processes that are kept alive, and taken away with all that they started."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from local_cloud.ports import free_port
from local_cloud.stack import processes
from local_cloud.stack.processes import (
    Command,
    Process,
    StartError,
    answers_tcp,
    inherited_environment,
)

ROOT = Path(__file__).resolve().parents[3]
WAIT_S = 20.0
LISTEN = """
import signal, socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
signal.pause()
"""
WITH_CHILD = """
import pathlib, signal, subprocess, sys
child = subprocess.Popen(["sleep", "1000"])
pathlib.Path(sys.argv[2]).write_text(str(child.pid))
exec(sys.argv[3])
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
POLITE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("bye"), sys.exit(0)))
"""
ENDS = "import sys; print('what went wrong'); sys.exit(3)"
STARTER = """
import pathlib, sys, time
from local_cloud.stack.processes import Command, Process
folder = pathlib.Path(sys.argv[1])
command = Command(["sleep", "1000"], {"PATH": "/usr/bin:/bin"}, lambda: True, folder)
process = Process("sleeper", command, folder / "log")
process.start()
print(process.pid, flush=True)
time.sleep(1000)
"""


def wait_until(is_so):
    until = time.monotonic() + WAIT_S
    while not (found := is_so()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
    return found


def is_running(pid):
    """Whether there is such a process; one that nobody waited for is over."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def make(tmp_path):
    """Make processes of Python source that listen on a port, and stop them."""
    made = []

    def do(source, *words, port=None):
        port = port or free_port()
        command = Command(
            [sys.executable, "-c", source, str(port), *map(str, words)],
            inherited_environment(),
            answers_tcp(port),
            tmp_path,
        )
        made.append(Process("it", command, tmp_path / "logs" / "it.log"))
        return made[-1]

    yield do
    for process in made:
        process.stop()


@pytest.fixture
def listening(make):
    process = make(LISTEN)
    process.start()
    process.wait_ready()
    return process


def test_what_is_killed_is_started_again(listening):
    before = listening.pid

    os.kill(before, signal.SIGKILL)

    wait_until(lambda: listening.starts == 2)
    listening.wait_ready()
    assert listening.pid != before


def test_starting_twice_is_starting_once(listening):
    listening.start()

    assert listening.starts == 1


def test_what_is_stopped_stays_away_until_it_is_started(listening):
    listening.stop()
    assert listening.pid is None
    assert not listening.command.is_ready()

    listening.start()

    listening.wait_ready()
    assert listening.starts == 2


def test_what_is_killed_for_good_stays_away_until_it_is_started(listening):
    listening.kill_for_good()
    assert listening.pid is None
    assert listening.starts == 1

    listening.start()

    listening.wait_ready()


@pytest.mark.parametrize("end", ["stop", "kill_for_good"])
def test_what_a_process_started_ends_with_it(make, tmp_path, end):
    process = make(WITH_CHILD, tmp_path / "child", LISTEN)
    process.start()
    process.wait_ready()
    child = int((tmp_path / "child").read_text())
    assert is_running(child)

    getattr(process, end)()

    wait_until(lambda: not is_running(child))


def test_what_a_process_started_goes_before_it_comes_again(make, tmp_path):
    process = make(WITH_CHILD, tmp_path / "child", LISTEN)
    process.start()
    process.wait_ready()
    child = int((tmp_path / "child").read_text())

    os.kill(process.pid, signal.SIGKILL)

    wait_until(lambda: process.starts == 2)
    wait_until(lambda: not is_running(child))


def test_a_process_may_end_politely(make):
    process = make(POLITE + LISTEN)
    process.start()
    process.wait_ready()

    process.stop()

    assert process.log.read_text().splitlines()[-1] == "bye"


def test_a_process_that_does_not_listen_is_killed(make, monkeypatch):
    process = make(DEAF + LISTEN)
    process.start()
    process.wait_ready()
    monkeypatch.setattr(processes, "STOP_TIMEOUT_S", 0.2)
    pid = process.pid

    process.stop()

    assert not is_running(pid)


def test_a_process_that_ends_again_and_again_shows_the_end_of_its_log(make):
    process = make(ENDS)
    process.start()

    with pytest.raises(StartError, match="it did not start") as raised:
        process.wait_ready()

    assert str(raised.value).endswith("what went wrong")
    assert str(process.log) in str(raised.value)


def test_a_process_that_runs_and_does_nothing_is_waited_for_so_long(make):
    process = make("import signal; signal.pause()")
    process.start()

    with pytest.raises(StartError, match="it did not start"):
        process.wait_ready(timeout_s=0.2)


def test_a_port_that_was_taken_meanwhile_is_had_once_it_is_free(make):
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = make(LISTEN, port=other.getsockname()[1])
        process.start()
        wait_until(lambda: process.starts == 2)

    process.wait_ready()

    wait_until(lambda: "listening" in process.log.read_text())
    assert "in use" in process.log.read_text()


def test_a_log_that_grew_too_long_is_begun_anew(listening, monkeypatch):
    listening.stop()
    monkeypatch.setattr(processes, "LOG_MAX_BYTES", 5)

    listening.start()

    wait_until(lambda: listening.log.read_text() == "listening\n")


def test_processes_die_with_whoever_started_them(tmp_path):
    words = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as starter:
        sleeper = int(starter.stdout.readline())
        assert is_running(sleeper)
        starter.kill()

    wait_until(lambda: not is_running(sleeper))
