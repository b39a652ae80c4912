"""Every kind of durable step of the real agent and the real serve fails, or is killed.

A step that fails with ENOSPC takes the next three with it. After that there is room
again, and the same process goes on. A kill is followed by a new process, as its
service manager would do it.
"""

import pytest

from edge_runtime.slots import Slots
from packhorse.report import DeviceState
from tests.crash.life import copy_state, named
from tests.crash.points import EVERY_STEP, FAULTS, points
from tests.crash.scope import IS_WHOLE, sample, tally
from tests.crash.steps import read_log
from tests.crash.together import each

POINTS = 1
"""Of each fault, in `make test`."""

ROLES = ("agent", "serve")


def kinds_of(life, folder, role):
    """Return the kinds of steps in each chapter when it is lived again, to its stop."""
    if not IS_WHOLE:
        return [(chapter, chapter.kinds(role)) for chapter in life.chapters]

    def record(recovery, state_dir, chapter):
        log = state_dir.with_name("log")
        log.unlink(missing_ok=True)
        copy_state(chapter.before, state_dir)
        recovery.live_again(chapter, state_dir, log=log)
        return [kind for who, kind, _ in read_log(log) if who == role]

    found, bad = each(life, folder, life.chapters, record)
    assert not bad, bad
    return list(zip(life.chapters, found, strict=True))


def meet_agent(recovery, state_dir, point):
    """Spoil the agent; say whether it met the fault."""
    copy_state(point.chapter.before, state_dir)
    served = Slots(state_dir).active()
    said = recovery.live_again(point.chapter, state_dir, fault=point.fault())
    check_told(point.chapter, served, said["reports"])
    return said["hits"] > 0


def meet_serve(recovery, state_dir, point):
    """Spoil supervisor or worker; say whether one met the fault."""
    once = state_dir.with_name("met")
    once.unlink(missing_ok=True)
    copy_state(point.chapter.before, state_dir)
    fault = point.fault(once)
    recovery.live_again(point.chapter, state_dir, serve_fault=fault)
    recovery.check_restart(point.chapter, state_dir)
    return once.exists()


MEET = {"agent": meet_agent, "serve": meet_serve}


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


@pytest.mark.parametrize("do", FAULTS)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.timeout(7200 if IS_WHOLE else 120)
def test_the_gateway_goes_on_after_a_fault_at_every_kind_of_step(life, ram, role, do):
    found = kinds_of(life, ram, role)
    chosen = sample(points(found, do), POINTS)
    met, bad = each(life, ram, chosen, MEET[role])
    tally(
        f"{do} at the real {role}",
        steps=sum(len(kinds) for _, kinds in found),
        kinds=len({kind for _, kinds in found for kind in kinds}),
        faults=len(chosen),
        met=sum(map(bool, met)),
        bad=len(bad),
    )
    assert not bad, "\n".join(bad)
    # What is drawn by chance, and who is faster, is not the same in another life.
    assert sum(map(bool, met)) >= 0.9 * len(chosen) - 1 or EVERY_STEP
