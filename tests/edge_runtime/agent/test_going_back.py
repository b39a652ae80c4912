"""What the agent makes of it when a release is gone back from, or must not run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edge_runtime.agent.machine import Stage
from edge_runtime.agent.memory import Deployment, MemoryFile
from edge_runtime.command.by_hand import roll_back
from edge_runtime.slots import open_slots
from packhorse.assignment import Offer, RolloutDocument
from packhorse.report import DeviceState
from tests.edge_runtime.agent.bundles import make_bundle, release
from tests.edge_runtime.agent.gateway import running_gateway, wait_until

FIRST = RolloutDocument("magika", 1)


@pytest.fixture
def offer(repository):
    def offer(version):
        body = make_bundle(release(version))
        bundle = repository.publish_bundle(release(version), body)
        return Offer(release(version), {"fp32": bundle})

    return offer


def run(agent):
    wait_until(agent.step, "the agent is done")


@pytest.fixture
def deployed(agent, gateway, repository, offer):
    """Deploy magika@1, then the candidate magika@2; return the document."""
    first = replace(FIRST, stable=offer(1))
    repository.publish_rollout(first)
    run(agent)
    document = replace(
        first,
        sequence=2,
        candidate=offer(2),
        rollout_id="magika@2#1",
        shares={0: 10_000},
    )
    repository.publish_rollout(document)
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"
    return document


def test_what_was_gone_back_from_by_hand_is_reported_and_not_installed_again(
    agent, gateway, repository, deployed, told
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
    repository.publish_rollout(again)
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
    agent, gateway, repository, deployed, rebuilt, is_folder
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
    repository.publish_rollout(again)
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"


@pytest.mark.parametrize("name", ["installed.json", "model.onnx"])
def test_a_release_whose_slot_was_damaged_is_not_to_blame_and_comes_again(
    state_dir, tmp_path, repository, deployed, gateway, agent, told, name
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
    agent, gateway, repository, offer, told
):
    repository.publish_rollout(replace(FIRST, stable=offer(1)))
    run(agent)
    withdrawn = replace(FIRST, sequence=2, withdrawn=(release(1),))
    repository.publish_rollout(withdrawn)

    run(agent)
    run(agent)

    assert gateway.infer(1, 2, 3)[0] == 503
    (gone,) = [r for r in told() if r.state is DeviceState.ROLLED_BACK]
    assert gone.release == release(1)
    assert "magika@1 was withdrawn" in gone.reason
    slots = open_slots(gateway.state_dir)
    assert [slots.slot(name).release for name in "ab"] == [None, None]

    repository.publish_rollout(replace(withdrawn, sequence=3, stable=offer(2)))
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"


def test_a_withdrawn_release_is_left_though_the_gateway_is_held(
    agent, gateway, repository, offer
):
    repository.publish_rollout(replace(FIRST, stable=offer(1)))
    run(agent)
    document = replace(FIRST, sequence=2, withdrawn=(release(1),), is_held=True)
    repository.publish_rollout(document)
    run(agent)
    assert gateway.infer(1, 2, 3)[0] == 503
