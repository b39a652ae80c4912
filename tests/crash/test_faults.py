"""Every durable step of the real agent fails; many are killed.

A step that fails with ENOSPC takes the next three with it: a disk that is full stays
full for a while. After that there is room again and the same process goes on. A
kill is followed by a new process, as its service manager would do it.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import pytest

from edge_runtime.slots import Slots
from packhorse.report import DeviceState
from tests.crash.life import named, not_files
from tests.crash.recovery import Recovery
from tests.crash.scope import IS_WHOLE, sample, tally

FAULTS = (("EIO:{n}", 1), ("ENOSPC:{n}:4", 3), ("kill:{n}", 5))
"""How a fault is told to the hook, and how many steps apart it comes. An ENOSPC fails
four steps, so every step fails; what a kill leaves at every step the model knows."""
POINTS = 1
"""Of each fault, in `make test`."""

TOGETHER = 3
"""Gateways that live beside each other: each waits for its own processes."""


def points(life):
    """Return every chapter with the number of every step that its agent took."""
    return [
        (chapter, number)
        for chapter in life.chapters
        for number in range(1, chapter.agent_steps + 1)
    ]


def check_told(chapter, served, reports):
    """A release that came into service in the chapter is said to serve."""
    now = chapter.serves[0]
    if (
        len(chapter.serves) == 1
        and now
        and str(served and served.release) != named(now)
    ):
        serving = [r.release for r in reports if r.state is DeviceState.SERVING]
        assert named(now) in map(str, serving)


@pytest.mark.parametrize(("fault", "stride"), FAULTS)
@pytest.mark.timeout(7200 if IS_WHOLE else 120)
def test_the_agent_goes_on_after_a_fault_at_every_step(life, ram, fault, stride):
    chosen = sample(points(life), POINTS, stride=stride)
    count = TOGETHER if IS_WHOLE else 1
    recoveries = Queue()
    for number in range(count):
        folder = ram / str(number)
        folder.mkdir()
        recoveries.put((Recovery(life, folder), folder / "state"))

    def meets(point):
        chapter, number = point
        recovery, state_dir = recoveries.get()
        try:
            shutil.copytree(chapter.before, state_dir, symlinks=True, ignore=not_files)
            served = Slots(state_dir).active()
            said = recovery.recover(chapter, state_dir, fault=fault.format(n=number))
            check_told(chapter, served, said["reports"])
        except Exception as error:  # noqa: BLE001 - all are told at the end
            return 0, f"{fault} at {number} of {chapter.name}: {error!r}"
        finally:
            shutil.rmtree(state_dir, ignore_errors=True)
            recoveries.put((recovery, state_dir))
        return said["hits"] > 0, ""

    try:
        with ThreadPoolExecutor(count) as pool:
            results = list(pool.map(meets, chosen))
    finally:
        for recovery, _ in list(recoveries.queue):
            recovery.stop()
    bad = [trouble for _, trouble in results if trouble]
    met = sum(is_met for is_met, _ in results)
    tally(
        f"real agent, {fault.split(':')[0]}", points=len(chosen), met=met, bad=len(bad)
    )
    assert not bad, "\n".join(bad)
    # A life lived again may take a step less: what is drawn by chance is not the same.
    assert met >= 0.9 * len(chosen) - 1
