"""What a stage's trouble means for the deployment."""

from dataclasses import replace

import pytest

from edge_runtime.agent.machine import Event, Stage
from edge_runtime.agent.stages import EXHAUSTED_AFTER, run_stage
from packhorse.manifest import RuntimeNeeds
from tests.edge_runtime.agent.bundles import ROW, release
from tests.edge_runtime.agent.gateway import wait_until


def run_to(stage, deployment, tools):
    """Run the stages before `stage`; return the deployment at it."""
    for before in list(Stage)[1:]:
        if before is stage:
            break
        outcome = run_stage(replace(deployment, stage=before), tools)
        assert outcome.event is Event.DONE, outcome
    return replace(deployment, stage=stage)


def test_a_network_that_is_away_is_no_failure_of_this_gateway(
    tools, deployment_of, server
):
    deployment = replace(deployment_of(1), attempts=EXHAUSTED_AFTER - 1)
    server.faults.status = 503
    outcome = run_stage(deployment, tools)
    assert (outcome.event, outcome.is_counted) == (Event.FAILED, False)


def test_wrong_bytes_are_counted_until_somebody_should_know(
    tools, deployment_of, server
):
    deployment = deployment_of(1)
    server.faults.tamper = True
    events = [
        run_stage(replace(deployment, attempts=n), tools).event
        for n in range(EXHAUSTED_AFTER + 1)
    ]
    assert events == [
        *[Event.FAILED] * (EXHAUSTED_AFTER - 1),
        Event.EXHAUSTED,
        Event.FAILED,
    ]


def test_a_bundle_that_changed_on_the_disk_is_pulled_again(tools, deployment_of):
    deployment = run_to(Stage.VERIFY, deployment_of(1), tools)
    path = tools.downloads.path(deployment.bundle)
    path.write_bytes(path.read_bytes() + b"x")

    assert run_stage(deployment, tools).event is Event.DAMAGED
    assert not path.exists()


def test_a_bundle_for_a_newer_runtime_is_refused_before_a_slot_is_emptied(
    tools, deployment_of
):
    run_to(Stage.TRY, deployment_of(1), tools)
    newer = deployment_of(2, needs=RuntimeNeeds(8, {"": 9000}, "1.15.0"))
    deployment = run_to(Stage.VERIFY, newer, tools)

    outcome = run_stage(deployment, tools)

    assert outcome.event is Event.REFUSED
    assert "ai.onnx 9000" in outcome.reason
    assert tools.slots.inactive().release == release(1)


@pytest.mark.parametrize("stage", [Stage.TRY, Stage.SWITCH])
def test_a_slot_that_lost_a_byte_is_installed_again(tools, deployment_of, stage):
    deployment = replace(run_to(Stage.TRY, deployment_of(1), tools), stage=stage)
    model = tools.slots.inactive().path / "model.onnx"
    model.write_bytes(b"x" + model.read_bytes()[1:])

    assert run_stage(deployment, tools).event is Event.DAMAGED


def test_a_slot_that_holds_another_release_is_installed_again(tools, deployment_of):
    run_to(Stage.TRY, deployment_of(1), tools)
    other = replace(deployment_of(2), stage=Stage.TRY)
    outcome = run_stage(other, tools)
    assert outcome.event is Event.DAMAGED
    assert "should hold magika@2, it holds magika@1" in outcome.reason


def test_a_release_that_serves_already_needs_no_supervisor(tools, deployment_of):
    deployment = run_to(Stage.SWITCH, deployment_of(1), tools)
    tools.slots.activate(tools.slots.inactive())
    assert run_stage(deployment, tools).event is Event.DONE


def test_a_release_that_does_not_become_ready_is_refused(tools, deployment_of, gateway):
    wrong = deployment_of(1, expected=ROW * 7)
    run_to(Stage.TRY, wrong, tools)

    outcome = run_stage(replace(wrong, stage=Stage.SWITCH), tools)

    assert outcome.event is Event.REFUSED
    assert "the switch was refused" in outcome.reason
    assert gateway.infer(1, 2, 3)[0] == 503


def test_the_former_release_is_not_overwritten_while_it_is_kept_warm(
    tools, deployment_of, gateway
):
    for version in (1, 2):
        wait_until(lambda: gateway.status()["previous"] == "", "probation is over")
        deployment = run_to(Stage.SWITCH, deployment_of(version), tools)
        assert run_stage(deployment, tools).event is Event.DONE
    third = deployment_of(3)
    run_stage(third, tools)
    outcome = run_stage(replace(third, stage=Stage.INSTALL), tools)

    assert (outcome.event, outcome.is_counted) == (Event.FAILED, False)
    assert "kept for rolling back" in outcome.reason
    assert tools.slots.inactive().release == release(1)


def test_a_slot_whose_worker_is_still_warm_is_served_from_it_at_once(
    tools, deployment_of, gateway
):
    for version in (1, 2):
        wait_until(lambda: gateway.status()["previous"] == "", "probation is over")
        deployment = run_to(Stage.SWITCH, deployment_of(version), tools)
        assert run_stage(deployment, tools).event is Event.DONE
    pids = gateway.status()["worker_pid"]
    back = replace(deployment_of(1), stage=Stage.SWITCH)

    assert run_stage(back, tools).event is Event.DONE

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    assert gateway.status()["worker_pid"] != pids
