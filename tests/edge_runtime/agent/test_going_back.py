"""What the agent makes of it when a release is gone back from, or must not run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edge_runtime.agent.machine import Stage
from edge_runtime.agent.memory import Deployment, MemoryFile
from edge_runtime.command.by_hand import roll_back
from edge_runtime.slots import open_slots
from packhorse.assignment import RolloutDocument
from packhorse.report import DeviceState
from tests.edge_runtime.agent.bundles import release
from tests.edge_runtime.agent.gateway import running_gateway, wait_until
from tests.edge_runtime.agent.test_agent import run, serve_first, with_candidate


@pytest.fixture
def deployed(agent, gateway, cloud):
    """Deploy magika@1, then the candidate magika@2; return the document."""
    document = with_candidate(serve_first(agent, cloud), cloud.offer(2))
    cloud.publish(document)
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"
    return document


def test_what_was_gone_back_from_by_hand_is_reported_and_not_installed_again(
    agent, gateway, cloud, deployed, told
):
    said = roll_back(gateway.state_dir, "reads the meter wrongly")
    assert said.startswith("magika@1 serves again")

    run(agent)
    run(agent)

    (fallen,) = [r for r in told() if r.state is DeviceState.ROLLED_BACK]
    assert (fallen.release, fallen.rollout_id) == (release(2), "magika@2#1")
    assert "rolled back by hand: reads the meter wrongly" in fallen.reason
    assert gateway.infer(1, 2, 3)[1] == "magika@1"

    again = replace(deployed, sequence=3, rollout_id="magika@2#2")
    cloud.publish(again)
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"


def test_it_is_so_too_where_the_switch_had_not_been_heard_of(
    gateway, deployed, told, rebuilt
):
    """The agent is killed after it asked for the switch; then a person goes back."""
    file = MemoryFile(gateway.state_dir / "agent" / "memory.json")
    memory = replace(file.load(), serving=release(1), serving_rollout_id="")
    bundle = deployed.candidate.variants["fp32"]
    waiting = Deployment(
        release(2),
        "fp32",
        bundle,
        "magika@2#1",
        Stage.SWITCH,
        datetime.now(UTC) + timedelta(hours=1),
    )
    file.save(replace(memory, deployment=waiting))
    roll_back(gateway.state_dir, "")

    agent = rebuilt()
    run(agent)
    run(agent)

    fallen = [r for r in told() if r.state is DeviceState.ROLLED_BACK]
    assert [(r.release, r.rollout_id) for r in fallen] == [(release(2), "magika@2#1")]
    assert gateway.infer(1, 2, 3)[1] == "magika@1"


@pytest.mark.parametrize("is_folder", [False, True], ids=["cut off", "a folder"])
def test_it_is_so_too_where_the_memory_of_it_is_damaged(
    agent, gateway, cloud, deployed, rebuilt, is_folder
):
    roll_back(gateway.state_dir, "reads the meter wrongly")
    run(agent)
    path = gateway.state_dir / "agent" / "memory.json"
    if is_folder:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(path.read_bytes()[:100])

    agent = rebuilt()
    run(agent)
    run(agent)

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    (refused,) = MemoryFile(path).load().refused
    assert (refused.release, refused.rollout_id) == (release(2), "magika@2#1")
    assert "reads the meter wrongly" in refused.reason
    again = replace(deployed, sequence=3, rollout_id="magika@2#2")
    cloud.publish(again)
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"


@pytest.mark.parametrize("name", ["installed.json", "model.onnx"])
def test_a_release_whose_slot_was_damaged_is_not_to_blame_and_comes_again(
    state_dir, tmp_path, deployed, gateway, agent, told, name
):
    gateway.kill()
    path = open_slots(state_dir).active().path / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    with running_gateway(state_dir, tmp_path / "again.log") as again:
        status = wait_until(lambda: again.status()["ready"] and again.status(), "ready")
        assert status["release"] == "magika@1"
        assert "slot b" in status["reason"]
        run(agent)

        assert again.infer(1, 2, 3)[1] == "magika@2"
    fallen = [r for r in told() if r.state is DeviceState.ROLLED_BACK]
    assert [r.release for r in fallen] == [release(2)]
    assert "slot b" in fallen[0].reason


def test_it_is_so_too_where_no_server_ran_when_it_was_asked_for(
    agent, gateway, deployed, told
):
    gateway.stop()
    assert "magika@1 will serve" in roll_back(gateway.state_dir, "")
    assert open_slots(gateway.state_dir).active().release == release(1)
    agent.step()
    fallen = [r for r in told() if r.state is DeviceState.ROLLED_BACK]
    assert [r.release for r in fallen] == [release(2)]


def test_a_first_release_that_is_withdrawn_leaves_nothing_to_serve(
    agent, gateway, cloud, told
):
    serve_first(agent, cloud)
    withdrawn = RolloutDocument("magika", 2, withdrawn=(release(1),))
    cloud.publish(withdrawn)

    run(agent)
    run(agent)

    assert gateway.infer(1, 2, 3)[0] == 503
    (gone,) = [r for r in told() if r.state is DeviceState.ROLLED_BACK]
    assert gone.release == release(1)
    assert "magika@1 was withdrawn" in gone.reason
    slots = open_slots(gateway.state_dir)
    assert [slots.slot(name).release for name in "ab"] == [None, None]

    cloud.publish(replace(withdrawn, sequence=3, stable=cloud.offer(2)))
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"


def test_a_withdrawn_release_is_left_though_the_gateway_is_held(agent, gateway, cloud):
    serve_first(agent, cloud)
    document = RolloutDocument("magika", 2, withdrawn=(release(1),), is_held=True)
    cloud.publish(document)
    run(agent)
    assert gateway.infer(1, 2, 3)[0] == 503
