"""The model of lost effects is kept honest: real cuts, of a real file system."""

import os
import shutil

import pytest

from edge_runtime.slots import Slots
from tests.crash.at_the_gateway import act
from tests.crash.ext4 import Ext4, why_not
from tests.crash.invariant import observe
from tests.crash.life import SERVE, copy_state
from tests.crash.recovery import Recovery
from tests.crash.scope import IS_WHOLE, tally
from tests.crash.steps import fault_text, watched
from tests.edge_runtime.agent.gateway import Gateway

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "all is there")

POINTS = 120 if IS_WHOLE else 2
"""Steps at which the power is cut, spread over the whole life."""


@pytest.fixture
def recovery(life, ram):
    recovery = Recovery(life, ram)
    yield recovery
    recovery.stop()


@pytest.fixture
def cut(life, ram, recovery):
    """Return a function that lives a chapter up to a cut, and gives what is left."""

    def cut(chapter, fault="", *, commit=True, flushes=True):
        disk = Ext4.made(ram / "image", ram / "disk")
        left = ram / "left"
        with disk.mounted() as folder:
            state_dir = folder / "state"
            copy_state(chapter.before, state_dir)
            os.sync()
            live(recovery, chapter, state_dir, fault, flushes=flushes)
            after = disk.cut(ram / "copy", ram / "after", commit=commit)
        with after.mounted() as folder:
            copy_state(folder / "state", left)
        for path in (disk.image, after.image):
            path.unlink()
        for path in (disk.folder, after.folder):
            path.rmdir()
        return left

    return cut


def live(recovery, chapter, state_dir, fault, *, flushes):
    """Let agent and supervisor run until the fault, and kill both."""
    serve = watched(SERVE, state_dir, flushes=flushes)
    with recovery.cloud(chapter) as (environment, _):
        gateway = Gateway(state_dir, recovery.serve_log, serve)
        try:
            act(chapter.name)(state_dir)
            recovery.run_agent(environment(state_dir), fault=fault, flushes=flushes)
        finally:
            gateway.kill()


def spread(life):
    points = [
        (chapter, number)
        for chapter in life.chapters
        for number in range(1, len(chapter.kinds("agent")) + 1)
    ]
    return points[:: -(-len(points) // POINTS)]


@pytest.mark.timeout(7200 if IS_WHOLE else 120)
def test_a_gateway_survives_power_cuts_on_a_real_file_system(life, cut, recovery):
    cuts = 0
    for number, (chapter, at) in enumerate(spread(life)):
        served = Slots(chapter.before).active()
        left = cut(chapter, fault_text("kill", at), commit=number % 4 != 3)
        found = observe(left)
        assert served is None or found.active is not None, (chapter.name, at)
        recovery.recover(chapter, left)
        shutil.rmtree(left)
        cuts += 1
    tally("power cuts on ext4", cuts=cuts)


def test_after_the_agent_is_done_nothing_is_lost(life, cut):
    chapter = life.chapters[2]
    assert observe(cut(chapter)).active == "magika@2"


def test_without_flushes_the_same_cut_breaks_the_gateway(life, cut):
    """The cut is a real one: who does not flush is found out."""
    left = cut(life.chapters[1], flushes=False)
    with pytest.raises(Exception):  # noqa: B017, PT011 - in whichever way it is broken
        assert observe(left).active == "magika@1"
