"""What the agent makes of the supervisor's answers."""

import asyncio
import errno
import os
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from edge_runtime.agent.errors import NotSwitchedError
from edge_runtime.agent.machine import Event, Stage
from edge_runtime.agent.stages import EXHAUSTED_AFTER, run_stage
from edge_runtime.agent.switch import Supervisor
from edge_runtime.errors import WorkerError
from edge_runtime.settings.site_settings import site_settings
from edge_runtime.supervision.control import serve_control
from tests.edge_runtime.agent.test_stages import run_to


@contextmanager
def supervisor_that(state_dir, error):
    """Answer on the control socket as a supervisor that raises this when it works."""

    async def obey(order):
        if order.text("do") == "status":
            return {"ok": True, "slot": "", "release": "", "ready": False}
        raise error

    async def serve():
        async with await serve_control(state_dir, obey):
            begun.set()
            await asyncio.to_thread(ended.wait)

    begun, ended = threading.Event(), threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert begun.wait(10)
        yield
    finally:
        ended.set()
        thread.join()


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "handover.json")


@pytest.fixture
def installed(deployment_of, tools):
    return replace(
        run_to(Stage.TRY, deployment_of(1), tools), stage=Stage.SWITCH, attempts=0
    )


def test_a_disk_that_is_full_at_the_switch_is_no_word_on_the_release(
    state_dir, tools, installed, tmp_path
):
    seen = tmp_path / "seen"
    site = site_settings({"PACKHORSE_AFTER_SWITCH": f"/usr/bin/touch {seen}"})
    tools = replace(tools, site=replace(tools.site, settings=site))
    with supervisor_that(state_dir, FULL):
        outcome = run_stage(installed, tools)
        last = run_stage(replace(installed, attempts=EXHAUSTED_AFTER - 1), tools)

    assert (outcome.event, outcome.is_counted) == (Event.FAILED, True)
    assert "No space left on device" in outcome.reason
    assert last.event is Event.EXHAUSTED
    assert seen.exists()  # what the script before stopped goes on


def test_a_supervisor_that_is_not_there_is_waited_for(tools, installed, tmp_path):
    seen = tmp_path / "seen"
    site = site_settings({"PACKHORSE_BEFORE_SWITCH": f"/usr/bin/touch {seen}"})
    tools = replace(tools, site=replace(tools.site, settings=site))

    outcome = run_stage(replace(installed, attempts=EXHAUSTED_AFTER - 1), tools)

    assert (outcome.event, outcome.wait) == (Event.WAITING, "supervisor")
    assert not outcome.is_counted
    assert "no supervisor runs" in outcome.reason
    assert not seen.exists()  # nothing was stopped for it


def test_a_worker_that_is_not_ready_is_a_word_on_the_release(
    state_dir, tools, installed
):
    with supervisor_that(state_dir, WorkerError("golden sample 0 is NaN")):
        outcome = run_stage(installed, tools)
    assert (outcome.event, outcome.reason) == (
        Event.REFUSED,
        "the switch was refused: golden sample 0 is NaN",
    )


def test_a_way_back_that_a_full_disk_closes_is_tried_again(state_dir):
    with (
        supervisor_that(state_dir, FULL),
        pytest.raises(NotSwitchedError, match=r"could not go back: .*No space left"),
    ):
        Supervisor(state_dir).roll_back("wrong")
