"""What was withdrawn is no way back: neither warm, nor on the disk."""

import os
import signal
from dataclasses import replace

import pytest

from edge_runtime.agent.switch import Supervisor
from edge_runtime.command.status import read_status
from edge_runtime.slots import open_slots
from edge_runtime.supervision.control import ask
from edge_runtime.supervision.handover import load_handover
from tests.crash.steps import fault_text, watched
from tests.edge_runtime.agent.bundles import release
from tests.edge_runtime.agent.gateway import children, running_gateway, wait_until
from tests.edge_runtime.agent.test_agent import run, serve_first

LONG = {"PACKHORSE_PROBATION_S": "120"}


@pytest.fixture
def gateway(state_dir, tmp_path):
    with running_gateway(state_dir, tmp_path / "serve.log", LONG) as gateway:
        yield gateway


@pytest.fixture
def on_probation(agent, gateway, cloud):
    """Serve magika@1, then magika@2 on a long probation; return the document."""
    document = serve_first(agent, cloud)
    document = replace(document, sequence=2, stable=cloud.offer(2))
    cloud.publish(document)
    run(agent)
    assert gateway.status()["previous"] == "a"
    return document


def withdraw_the_former(cloud, document):
    cloud.publish(replace(document, sequence=3, withdrawn=(release(1),)))


def released(state_dir):
    slots = open_slots(state_dir)
    return [slots.slot(name).release for name in "ab"]


def crash(gateway):
    """Crash the worker on duty, and wait for who comes after it."""
    worker = gateway.status()["worker_pid"]
    os.kill(worker, signal.SIGSEGV)
    wait_until(lambda: gateway.status()["worker_pid"] not in {0, worker}, "another")
    wait_until(lambda: gateway.status()["ready"], "it is ready")


def test_a_former_release_that_is_withdrawn_is_let_go_and_not_gone_back_to(
    agent, gateway, cloud, on_probation, state_dir
):
    warm = set(children(gateway.process.pid)) - {gateway.status()["worker_pid"]}
    withdraw_the_former(cloud, on_probation)

    run(agent)

    assert released(state_dir) == [None, release(2)]
    assert gateway.status()["previous"] == ""
    assert load_handover(state_dir).former is None
    assert "there is no way back: magika@1 was withdrawn" in (
        read_status(state_dir).sentences()
    )
    crash(gateway)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"
    assert ask(state_dir, {"do": "roll_back"}, timeout_s=9)["ok"] is False
    wait_until(lambda: not warm & set(children(gateway.process.pid)), "it has ended")


def test_it_is_not_gone_back_to_after_a_restart_either(
    agent, gateway, cloud, on_probation, state_dir, tmp_path
):
    withdraw_the_former(cloud, on_probation)
    run(agent)
    gateway.kill()
    with running_gateway(state_dir, tmp_path / "again.log", LONG) as again:
        wait_until(lambda: again.status()["ready"], "it is ready")
        assert again.status()["previous"] == ""
        assert again.infer(1, 2, 3)[1] == "magika@2"


@pytest.mark.parametrize("do", ["kill", "ENOSPC", "EIO"])
def test_who_fails_at_that_is_asked_again(
    agent, gateway, cloud, on_probation, state_dir, tmp_path, do
):
    gateway.stop()
    (state_dir / "reserve").unlink()
    # The first handover that it writes at its start counts the start.
    fault = fault_text(do, "create .handover.json.partial after fsync_dir .", lasts=2)
    spoilt = watched(LONG, state_dir, fault=fault)
    withdraw_the_former(cloud, on_probation)
    with running_gateway(state_dir, tmp_path / "spoilt.log", spoilt) as second:
        wait_until(lambda: second.status()["ready"], "magika@2 serves")
        agent.step()
        if do == "kill":
            second.process.wait(30)
    with running_gateway(state_dir, tmp_path / "again.log", LONG) as again:
        wait_until(lambda: again.status()["ready"], "it is ready")
        run(agent)

        assert released(state_dir) == [None, release(2)]
        assert again.status()["previous"] == ""
        assert again.infer(1, 2, 3)[1] == "magika@2"


def test_letting_go_of_what_is_no_way_back_changes_nothing(
    gateway, on_probation, state_dir
):
    before = gateway.status(), load_handover(state_dir)
    for version in (2, 3):
        Supervisor(state_dir).let_go(release(version), "")
    assert (gateway.status(), load_handover(state_dir)) == before


def test_a_withdrawn_release_that_was_left_is_no_way_back_for_a_moment(
    agent, gateway, cloud, on_probation, state_dir, tmp_path
):
    """Its own probation is over, so the one before it is started, not warm."""
    gateway.stop()
    short = {"PACKHORSE_PROBATION_S": "0.1"}
    with running_gateway(state_dir, tmp_path / "short.log", short) as passing:
        wait_until(lambda: passing.status()["ready"], "magika@2 serves")
        wait_until(lambda: not passing.status()["previous"], "the probation is over")
    with running_gateway(state_dir, tmp_path / "again.log", LONG) as again:
        wait_until(lambda: again.status()["ready"], "magika@2 serves")
        back = cloud.offer(1)
        cloud.publish(
            replace(on_probation, sequence=3, stable=back, withdrawn=(release(2),))
        )

        run(agent)

        assert again.infer(1, 2, 3)[1] == "magika@1"
        assert again.status()["previous"] == ""
        assert released(state_dir) == [release(1), None]
        crash(again)
        assert again.infer(1, 2, 3)[1] == "magika@1"
    assert "there is no way back: magika@2 was withdrawn" in (
        read_status(state_dir).sentences()
    )


def test_nor_is_one_that_was_left_on_its_own_probation(
    agent, gateway, cloud, on_probation, state_dir
):
    back = cloud.offer(1)
    cloud.publish(
        replace(on_probation, sequence=3, stable=back, withdrawn=(release(2),))
    )

    run(agent)

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    assert gateway.status()["previous"] == ""
    assert released(state_dir) == [release(1), None]
    assert "there is no way back: magika@2 was withdrawn" in (
        read_status(state_dir).sentences()
    )
