"""A gateway's pulse is an answer of the worker that answers requests."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from edge_runtime.command.healthcheck import check_health
from edge_runtime.errors import WorkerError
from edge_runtime.service_manager import service_manager
from edge_runtime.supervision.pulse import tell_pulse
from tests.edge_runtime.agent.gateway import ROOT, wait_until
from tests.notify_socket import NotifySocket


class Workers:
    """What the pulse sees of a supervisor."""

    def __init__(self):
        self.starts = self.asked = 0
        self.answers = True

    def status(self):
        return {"ready": True, "release": "magika@1", "slot": "a", "reason": ""}

    async def obey(self, order):
        assert order.text("do") == "models"
        self.asked += 1
        if not self.answers:
            raise WorkerError("no answer")
        return {"ok": True}


@pytest.fixture
def listening(tmp_path):
    with NotifySocket(tmp_path) as listening:
        yield listening


class Beating:
    """A pulse that beats as often as it may."""

    def __init__(self, workers, listening):
        now = iter(range(10**9))
        self.manager = service_manager(listening.environment(watchdog_s=10))
        self.manager.clock = lambda: 10.0 * next(now)
        self.workers = workers

    async def run(self, until):
        booting = asyncio.create_task(asyncio.sleep(0))
        pulse = asyncio.create_task(
            tell_pulse(self.workers, booting, self.manager, beat_s=0.01)
        )
        await asyncio.to_thread(wait_until, until, "it has beaten for long enough")
        pulse.cancel()


@pytest.mark.asyncio
async def test_a_worker_that_answers_is_a_pulse(listening):
    await Beating(Workers(), listening).run(lambda: listening.count("WATCHDOG=1") > 3)
    assert listening.has("READY=1")
    assert listening.status() == "magika@1 serves from slot a"


@pytest.mark.asyncio
async def test_a_worker_that_hangs_is_none(listening):
    workers = Workers()
    workers.answers = False
    beating = Beating(workers, listening)
    await beating.run(lambda: workers.asked > 10)
    beating.manager.stopping()
    wait_until(lambda: listening.has("STOPPING=1"), "all is heard")
    assert listening.has("READY=1")
    assert listening.count("WATCHDOG=1") <= 1


@pytest.mark.asyncio
async def test_starting_workers_is_progress(listening):
    workers = Workers()
    workers.answers = False

    async def start():
        while True:
            await asyncio.sleep(0.02)
            workers.starts += 1

    starting = asyncio.create_task(start())
    await Beating(workers, listening).run(lambda: listening.count("WATCHDOG=1") > 3)
    starting.cancel()


def test_serve_tells_systemd_of_its_life(tmp_path, listening):
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    environment = {
        **os.environ,
        **listening.environment(watchdog_s=60),
        "PACKHORSE_STATE_DIR": str(state_dir),
        "PACKHORSE_LISTEN": "127.0.0.1:0",
        "PACKHORSE_MODEL": "magika",
        "PACKHORSE_DEVICE": "gateway-1",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "serve"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until(lambda: listening.has("READY=1"), "it is ready")
            wait_until(lambda: listening.has("WATCHDOG=1"), "it is alive")
            assert listening.status().startswith("nothing serves: ")
            assert check_health({"PACKHORSE_STATE_DIR": str(state_dir)}) == ""
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert listening.has("STOPPING=1")
    assert "no supervisor" in check_health({"PACKHORSE_STATE_DIR": str(state_dir)})


def test_a_health_check_without_a_state_directory_says_what_is_missing():
    assert check_health({}) == "the setting PACKHORSE_STATE_DIR is missing"
