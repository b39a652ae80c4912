"""What happened while a gateway was off is obeyed on its first contact."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from edge_runtime.agent.clock import Clock
from edge_runtime.agent.loop import build_agent
from packhorse.assignment import RolloutDocument
from packhorse.report import DeviceState
from tests.edge_runtime.agent.bundles import release
from tests.edge_runtime.agent.gateway import running_gateway
from tests.edge_runtime.agent.test_agent import run, serve_first, with_candidate


def run_while_on(rebuilt, state_dir, log):
    """Start the gateway and an agent, let it look once to the end; stop both."""
    with running_gateway(state_dir, log) as gateway:
        run(rebuilt())
        return gateway.infer(1, 2, 3)


def test_a_rollout_halted_while_a_gateway_was_off_does_not_reach_it(
    rebuilt, state_dir, tmp_path, cloud, told
):
    log = tmp_path / "serve.log"
    with running_gateway(state_dir, log):
        document = serve_first(rebuilt(), cloud)
    # It is off while the rollout opens to it, and is halted again.
    opened = with_candidate(document, cloud.offer(2))
    cloud.publish(opened)
    cloud.publish(replace(opened, sequence=opened.sequence + 1, is_held=True))
    cloud.server.requests.clear()

    answer = run_while_on(rebuilt, state_dir, log)

    assert answer[1] == "magika@1"
    assert cloud.server.bundle_requests() == []
    assert all(report.release != release(2) for report in told())


def test_a_halt_that_came_while_it_was_off_in_mid_deployment_is_obeyed(
    rebuilt, state_dir, tmp_path, cloud
):
    log = tmp_path / "serve.log"
    with running_gateway(state_dir, log):
        document = serve_first(rebuilt(), cloud)
        opened = with_candidate(document, cloud.offer(2))
        cloud.publish(opened)
        cloud.server.faults.cut_after = 100
        assert not rebuilt().step()  # the bundle breaks off, and the power too
        cloud.server.faults.cut_after = None
    cloud.publish(replace(opened, sequence=opened.sequence + 1, is_held=True))
    cloud.server.requests.clear()

    answer = run_while_on(rebuilt, state_dir, log)

    assert answer[1] == "magika@1"
    assert cloud.server.bundle_requests() == []


def test_a_release_withdrawn_while_a_gateway_was_off_is_left_without_a_download(
    rebuilt, state_dir, tmp_path, cloud, told
):
    log = tmp_path / "serve.log"
    with running_gateway(state_dir, log):
        document = serve_first(rebuilt(), cloud)
        opened = with_candidate(document, cloud.offer(2))
        cloud.publish(opened)
        run(rebuilt())
    # Withdrawn, and another offered and withdrawn too, all while it was off.
    sequence = opened.sequence
    cloud.publish(replace(document, sequence=sequence + 1, withdrawn=(release(2),)))
    third = with_candidate(document, cloud.offer(3), rollout_id="magika@3#1")
    cloud.publish(replace(third, sequence=sequence + 2, withdrawn=(release(2),)))
    gone = (release(2), release(3))
    cloud.publish(replace(document, sequence=sequence + 3, withdrawn=gone))
    cloud.server.requests.clear()

    answer = run_while_on(rebuilt, state_dir, log)

    assert answer == (200, "magika@1", [1, 2, 3])
    assert cloud.server.bundle_requests() == []
    assert (told()[-1].state, told()[-1].release) == (DeviceState.SERVING, release(1))


def test_a_gateway_that_missed_every_release_but_the_last_goes_straight_to_it(
    rebuilt, state_dir, tmp_path, cloud, told
):
    log = tmp_path / "serve.log"
    with running_gateway(state_dir, log):
        serve_first(rebuilt(), cloud)
    for version in (2, 3, 4):
        stable = cloud.offer(version)
        cloud.publish(RolloutDocument("magika", version, stable=stable))
    cloud.server.requests.clear()

    answer = run_while_on(rebuilt, state_dir, log)

    assert answer[1] == "magika@4"
    assert len(cloud.server.bundle_requests()) == 1
    assert {r.release for r in told()} == {release(1), release(4)}


def test_a_gateway_that_was_off_for_90_days_serves_on_until_there_is_fresh_metadata(
    settings, identity, spool, state_dir, tmp_path, repository, cloud, told
):
    log = tmp_path / "serve.log"
    with running_gateway(state_dir, log):
        serve_first(build_agent(settings, identity, spool), cloud)
    # Signed while it was away, and over since long.
    cloud.publish(RolloutDocument("magika", 2, stable=cloud.offer(2)))
    later = datetime.now(UTC) + timedelta(days=90)
    clock = Clock(state_dir, wall_time=lambda: later, is_synchronised=lambda: True)
    agent = build_agent(settings, identity, spool, clock)
    cloud.server.requests.clear()

    with running_gateway(state_dir, log) as gateway:
        run(agent)
        assert gateway.infer(1, 2, 3)[1] == "magika@1"
        assert cloud.server.bundle_requests() == []
        assert (told()[-1].state, told()[-1].release) == (DeviceState.FAILED, None)
        assert "expired" in told()[-1].reason

        repository.refresh_timestamp(expires=later + timedelta(days=1))
        run(agent)
        assert gateway.infer(1, 2, 3)[1] == "magika@2"
