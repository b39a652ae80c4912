"""A withdrawal reaches a gateway whose disk is full."""

from dataclasses import replace

from edge_runtime.slots import open_slots
from edge_runtime.supervision.handover import load_handover
from packhorse.assignment import RolloutDocument
from packhorse.report import DeviceState
from tests.crash.steps import fault_text, watched
from tests.edge_runtime.agent.bundles import release
from tests.edge_runtime.agent.gateway import running_gateway, wait_until
from tests.edge_runtime.agent.test_agent import run, serve_first, with_candidate
from tests.edge_runtime.full_disk import full_but_for_the_reserve


def serve_second(agent, gateway, cloud):
    """Deploy magika@1, then the candidate magika@2, past its probation."""
    document = with_candidate(serve_first(agent, cloud), cloud.offer(2))
    cloud.publish(document)
    run(agent)
    wait_until(lambda: not gateway.status()["previous"], "the probation is over")
    return document


def without_second(document):
    return RolloutDocument(
        "magika",
        document.sequence + 1,
        stable=document.stable,
        withdrawn=(release(2),),
    )


def test_the_agent_gives_back_what_it_kept_and_goes_back(agent, gateway, cloud, told):
    document = serve_second(agent, gateway, cloud)
    reserve = gateway.state_dir / "reserve"
    assert reserve.is_file()
    cloud.publish(without_second(document))

    with full_but_for_the_reserve(gateway.state_dir):
        assert agent.step()

        assert gateway.infer(1, 2, 3)[1] == "magika@1"
    assert (told()[-1].state, told()[-1].release) == (DeviceState.SERVING, release(1))
    # There is room again, so it is kept again.
    assert reserve.is_file()


def test_a_first_release_leaves_too(agent, gateway, cloud, told):
    serve_first(agent, cloud)
    cloud.publish(RolloutDocument("magika", 2, withdrawn=(release(1),)))

    with full_but_for_the_reserve(gateway.state_dir):
        assert agent.step()

        assert gateway.infer(1, 2, 3)[0] == 503
    assert told()[-1].state is DeviceState.ROLLED_BACK


def test_what_is_no_withdrawal_waits_and_is_said(agent, gateway, cloud, told):
    document = serve_first(agent, cloud)
    cloud.publish(replace(document, sequence=2, stable=cloud.offer(2)))

    with full_but_for_the_reserve(gateway.state_dir):
        agent.step()

    assert gateway.infer(1, 2, 3)[1] == "magika@2"
    assert DeviceState.OFFERED in [r.state for r in told() if r.release == release(2)]


def test_the_supervisor_gives_it_back_where_the_handover_finds_no_room(
    agent, gateway, cloud, state_dir, tmp_path
):
    document = serve_second(agent, gateway, cloud)
    gateway.stop()
    fault = fault_text("ENOSPC", HANDOVER, lasts=1)
    full = watched({}, state_dir, fault=fault)
    cloud.publish(without_second(document))
    with running_gateway(state_dir, tmp_path / "again.log", full) as again:
        wait_until(lambda: again.status()["ready"], "magika@2 serves")

        assert agent.step()

        assert again.infer(1, 2, 3)[1] == "magika@1"
        assert "reserve_given" in again.log.read_text()
    assert load_handover(state_dir).release == release(1)
    assert open_slots(state_dir).active().release == release(1)


HANDOVER = "create .handover.json.partial after fsync_dir ."
