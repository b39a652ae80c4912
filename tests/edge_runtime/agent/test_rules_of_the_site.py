"""A release on its way, at a site with rules of its own."""

import sys
from dataclasses import replace

import pytest

from edge_runtime.agent.loop import build_agent
from edge_runtime.agent.schedule import Schedule
from edge_runtime.hold import lift_hold, place_hold
from edge_runtime.settings.site_settings import site_settings
from packhorse.assignment import RolloutDocument
from packhorse.report import FAILURES, DeviceState
from tests.edge_runtime.agent.bundles import make_offer, release
from tests.edge_runtime.agent.gateway import ROOT, wait_until
from tests.edge_runtime.agent.test_agent import run
from tests.edge_runtime.agent.test_site import shell
from tests.standing_clock import StandingClock


@pytest.fixture
def publish(repository):
    """Return a function that makes one release stable, and withdraws others."""

    def publish(version, *, withdrawn=()):
        offer = make_offer(repository, version)
        number = version + 10 * len(withdrawn)
        repository.publish_rollout(
            RolloutDocument("magika", number, stable=offer, withdrawn=tuple(withdrawn))
        )

    return publish


@pytest.fixture
def agent_with(settings, identity, spool):
    def make(**values):
        ruled = replace(settings, poll_s=3600.0, site=site_settings(values))
        return build_agent(ruled, identity, spool)

    return make


def states(told):
    return [report.state for report in told()]


def test_a_wait_is_reported_once_and_ends_without_asking_the_repository(
    agent_with, gateway, publish, server, told, tmp_path
):
    allowed = tmp_path / "allowed"
    agent = agent_with(PACKHORSE_MAY_SWITCH=shell(f"test -e {allowed}"))
    publish(1)
    for _ in range(3):
        assert not agent.step()
        assert agent.is_waiting
    polls = len(server.requests)
    assert not agent.carry_on()
    allowed.touch()

    assert agent.carry_on()

    assert len(server.requests) == polls
    assert states(told)[-3:] == [
        DeviceState.TRIED,
        DeviceState.WAITING,
        DeviceState.SERVING,
    ]
    waiting = told()[-2]
    assert waiting.reason == "PACKHORSE_MAY_SWITCH exited with 1"
    assert (waiting.release, waiting.rollout_id) == (release(1), "")


def test_a_wait_for_another_reason_is_reported_again(
    agent_with, gateway, publish, told, tmp_path
):
    answer = tmp_path / "answer"
    answer.write_text("exit 1")
    agent = agent_with(PACKHORSE_MAY_SWITCH=f"/bin/sh {answer}")
    publish(1)
    agent.step()
    answer.write_text("exit 7")
    agent.carry_on()

    reasons = [r.reason for r in told() if r.state is DeviceState.WAITING]
    assert reasons == [f"PACKHORSE_MAY_SWITCH exited with {code}" for code in (1, 7)]
    assert agent.sentence() == (
        "nothing serves; magika@1: switch, waits: PACKHORSE_MAY_SWITCH failed"
    )


def test_a_hold_stops_what_is_new_and_lets_it_go_on_afterwards(
    agent_with, gateway, publish, told, state_dir, server
):
    agent = agent_with()
    publish(1)
    run(agent)
    place_hold(state_dir, "line in trial")
    publish(2)
    server.requests.clear()
    for _ in range(2):
        assert not agent.step()

    assert server.bundle_requests() == []
    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    held = told()[-1]
    assert (held.state, held.reason) == (
        DeviceState.HELD,
        "held at the gateway: line in trial",
    )
    assert not [state for state in states(told) if state in FAILURES]
    lift_hold(state_dir)
    assert agent.carry_on()
    assert gateway.infer(1, 2, 3)[1] == "magika@2"


def test_a_withdrawal_is_obeyed_by_a_gateway_that_is_held_and_out_of_its_window(
    agent_with, gateway, publish, state_dir, told
):
    free = agent_with()
    publish(1)
    run(free)
    publish(2)
    run(free)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"
    place_hold(state_dir, "")
    never = shell("exit 1")
    strict = agent_with(
        PACKHORSE_MAY_SWITCH=never,
        PACKHORSE_MAY_DOWNLOAD=never,
        PACKHORSE_BEFORE_SWITCH=never,
    )
    publish(1, withdrawn=[release(2)])

    run(strict)

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    assert states(told)[-1] is DeviceState.SERVING


def test_scripts_run_around_a_switch(agent_with, gateway, publish, tmp_path, told):
    seen = tmp_path / "seen"
    note = 'echo "%s $PACKHORSE_RELEASE $PACKHORSE_FORMER_RELEASE" >> ' + str(seen)
    agent = agent_with(
        PACKHORSE_BEFORE_SWITCH=shell(note % "before"),
        PACKHORSE_AFTER_SWITCH=shell(note % "after"),
        PATH="/usr/bin:/bin",
    )
    for version in (1, 2):
        publish(version)
        run(agent)

    assert seen.read_text().splitlines() == [
        "before magika@1 ",
        "after magika@1 ",
        "before magika@2 magika@1",
        "after magika@2 magika@1",
    ]


def test_a_script_that_fails_after_the_switch_brings_the_former_release_back(
    agent_with, gateway, publish, told, tmp_path
):
    seen = tmp_path / "seen"
    script = (
        f'echo "$PACKHORSE_RELEASE" >> {seen}; '
        'test "$PACKHORSE_RELEASE" = magika@1 || { echo no weld seam; exit 1; }'
    )
    agent = agent_with(PACKHORSE_AFTER_SWITCH=shell(script), PATH="/usr/bin:/bin")
    publish(1)
    run(agent)
    publish(2)

    run(agent)

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    fallen = [r for r in told() if r.state is DeviceState.ROLLED_BACK]
    assert [(r.release, r.reason) for r in fallen] == [
        (
            release(2),
            "PACKHORSE_AFTER_SWITCH exited with 1: no weld seam; magika@1 serves again",
        )
    ]
    assert seen.read_text().split() == ["magika@1", "magika@2", "magika@1"]
    assert (
        DeviceState.SERVING not in states(told)[states(told).index(fallen[0].state) :]
    )


def test_a_site_goes_on_though_the_agent_was_killed_on_the_way_back(
    agent_with, gateway, publish, told, tmp_path
):
    seen = tmp_path / "seen"
    script = (
        f'echo "$PACKHORSE_RELEASE $PACKHORSE_FORMER_RELEASE" >> {seen}; '
        'test "$PACKHORSE_RELEASE" = magika@1 || exit 1; '
        # Long enough to be killed in, on the way back.
        'test "$PACKHORSE_FORMER_RELEASE" != magika@2 || sleep 1.2'
    )
    values = {"PACKHORSE_AFTER_SWITCH": shell(script), "PATH": "/usr/bin:/bin"}
    agent = agent_with(**values)
    publish(1)
    run(agent)
    publish(2)

    def die():
        """End it between the way back and the memory of that."""
        if gateway.status()["reason"]:
            raise KeyboardInterrupt

    agent.on_progress = die
    with pytest.raises(KeyboardInterrupt):
        run(agent)
    seen.unlink()
    run(agent_with(**values))

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    assert seen.read_text().splitlines() == ["magika@1 magika@2"]
    fallen = [r for r in told() if r.state is DeviceState.ROLLED_BACK]
    assert [r.release for r in fallen] == [release(2)]
    assert "PACKHORSE_AFTER_SWITCH exited with 1" in fallen[0].reason


def test_a_release_that_falls_before_the_script_fails_is_said_to_have_fallen(
    agent_with, gateway, publish, told, state_dir
):
    agent = agent_with()
    publish(1)
    run(agent)
    publish(2)
    back = f"{sys.executable} -m edge_runtime rollback"
    script = f'test "$PACKHORSE_RELEASE" = magika@1 || {{ {back}; exit 1; }}'
    run(
        agent_with(
            PACKHORSE_AFTER_SWITCH=shell(f"cd {ROOT}; {script}"),
            PACKHORSE_STATE_DIR=str(state_dir),
            PATH="/usr/bin:/bin",
        )
    )

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    assert states(told)[-1] is DeviceState.ROLLED_BACK
    assert "magika@1 serves again" in told()[-1].reason


def test_a_script_that_fails_after_the_first_switch_of_all_refuses_and_serves_on(
    agent_with, gateway, publish, told
):
    agent = agent_with(PACKHORSE_AFTER_SWITCH=shell("exit 1"))
    publish(1)

    run(agent)

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    refused = [r for r in told() if r.state is DeviceState.REFUSED]
    assert len(refused) == 1
    assert "for want of another" in refused[0].reason


def test_a_script_that_an_agent_did_not_live_to_run_is_run_by_the_next(
    agent_with, gateway, publish, tmp_path, told
):
    ran = tmp_path / "ran"

    def die():
        raise KeyboardInterrupt

    agent = agent_with(PACKHORSE_AFTER_SWITCH=shell("sleep 30"))
    publish(1)
    agent.on_progress = lambda: die() if gateway.status()["ready"] else None
    with pytest.raises(KeyboardInterrupt):
        run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    assert states(told)[-1] is DeviceState.TRIED

    run(agent_with(PACKHORSE_AFTER_SWITCH=shell(f"touch {ran}"), PATH="/usr/bin:/bin"))

    assert ran.exists()
    assert states(told)[-1] is DeviceState.SERVING


def test_a_download_gives_way_to_what_a_notice_announces(
    agent_with, gateway, publish, server, told, settings
):
    agent = agent_with()
    publish(1)
    calls = []

    def look():
        """Publish another release while the first one comes."""
        if calls:
            return
        calls.append(1)
        publish(2)
        agent.schedule.ring()
        wait_until(agent.schedule.is_due, "the least time between two looks is over")

    agent.on_progress = lambda: look() if server.bundle_requests() else None
    assert not agent.step()
    agent.on_progress = lambda: None

    assert states(told) == [DeviceState.OFFERED, DeviceState.SUPERSEDED]
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"


def test_a_deployment_that_is_given_up_says_so(agent_with, gateway, publish, told):
    agent = agent_with(PACKHORSE_MAY_DOWNLOAD=shell("exit 1"))
    publish(1)
    agent.step()
    publish(2)
    agent.step()

    ended = [r for r in told() if r.state is DeviceState.SUPERSEDED]
    assert [(r.release, r.reason) for r in ended] == [
        (release(1), "the rollout asks for something else by now")
    ]


def test_an_agent_whose_repository_wants_quiet_is_quiet(agent_with, publish, server):
    agent, clock = agent_with(), StandingClock()
    agent.schedule = Schedule(3600.0, clock=clock)
    publish(1)
    server.faults.status = 503
    server.faults.retry_after = "600"
    agent.step()
    agent.schedule.ring()
    clock.now += 599
    assert not agent.schedule.is_due()
    clock.now += 1
    assert agent.schedule.is_due()
