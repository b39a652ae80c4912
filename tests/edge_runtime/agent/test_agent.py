"""A release on its way into service: a real repository, a real supervisor."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from edge_runtime.slots import open_slots
from edge_runtime.supervision.control import ask
from packhorse.assignment import Offer, RolloutDocument
from packhorse.report import DeviceState
from tests.edge_runtime.agent.bundles import (
    ROW,
    not_a_number,
    release,
    square_root,
)
from tests.edge_runtime.agent.gateway import running_gateway, wait_until

STATES = [
    DeviceState.OFFERED,
    DeviceState.DOWNLOADED,
    DeviceState.VERIFIED,
    DeviceState.INSTALLED,
    DeviceState.TRIED,
    DeviceState.SERVING,
]


def run(agent):
    """Let the agent look until nothing is left to do."""
    wait_until(agent.step, "the agent is done")


def serve_first(agent, cloud):
    document = RolloutDocument("magika", 1, stable=cloud.offer(1))
    cloud.publish(document)
    run(agent)
    return document


def with_candidate(document, candidate, *, rollout_id="magika@2#1"):
    return replace(
        document,
        sequence=document.sequence + 1,
        candidate=candidate,
        rollout_id=rollout_id,
        shares={0: 10_000},
    )


def test_a_new_gateway_takes_the_stable_release(agent, gateway, cloud, told):
    serve_first(agent, cloud)

    assert gateway.infer(1, 2, 3) == (200, "magika@1", [1, 2, 3])
    assert [report.state for report in told()] == STATES
    assert {report.release for report in told()} == {release(1)}


def test_a_candidate_replaces_the_stable_release(agent, gateway, cloud, told):
    document = serve_first(agent, cloud)
    gateway.infer(1, 2, 3)
    cloud.publish(with_candidate(document, cloud.offer(2)))

    run(agent)

    assert gateway.infer(1, 2, 3) == (200, "magika@2", [2, 4, 6])
    reports = told()[len(STATES) :]
    assert [report.state for report in reports] == STATES
    assert {report.rollout_id for report in reports} == {"magika@2#1"}
    assert reports[4].measures["shadow_requests"] == 1
    assert reports[4].measures["latency_ratio"] > 0
    assert not list((gateway.state_dir / "downloads").iterdir())
    assert not list((gateway.state_dir / "run").glob("recent*"))


def test_a_candidate_that_is_nan_on_golden_samples_is_refused_and_remembered(
    agent, gateway, cloud, told
):
    document = serve_first(agent, cloud)
    bad = cloud.offer(2, not_a_number())
    cloud.publish(with_candidate(document, bad))
    run(agent)
    asked = len(cloud.server.bundle_requests())

    run(agent)

    last = told()[-1]
    assert (last.state, last.release) == (DeviceState.REFUSED, release(2))
    assert "golden sample 0" in last.reason
    assert gateway.infer(1, 2, 3) == (200, "magika@1", [1, 2, 3])
    assert len(cloud.server.bundle_requests()) == asked
    assert [r.state for r in told()].count(DeviceState.REFUSED) == 1


def test_a_candidate_that_is_nan_on_live_requests_is_refused_in_the_shadow_run(
    agent, gateway, cloud, told
):
    document = serve_first(agent, cloud)
    for row in ((1, 2, 3), (-1, 2, 3), (4, -5, 6)):
        assert gateway.infer(*row)[0] == 200
    bad = cloud.offer(2, square_root(), expected=np.sqrt(ROW))
    cloud.publish(with_candidate(document, bad))

    run(agent)

    last = told()[-1]
    assert last.state is DeviceState.REFUSED
    assert "output 'y'" in last.reason
    assert "2 of 3 live requests" in last.reason
    assert gateway.infer(1, 2, 3)[1] == "magika@1"


def test_a_refused_release_is_tried_again_when_the_rollout_id_changes(
    agent, gateway, cloud, told
):
    document = serve_first(agent, cloud)
    opened = with_candidate(document, cloud.offer(2, not_a_number()))
    cloud.publish(opened)
    run(agent)
    cloud.publish(with_candidate(opened, opened.candidate, rollout_id="magika@2#2"))

    run(agent)

    refused = [r for r in told() if r.state is DeviceState.REFUSED]
    assert [r.rollout_id for r in refused] == ["magika@2#1", "magika@2#2"]


def test_a_withdrawn_release_goes_back_from_the_local_slot_without_a_download(
    agent, gateway, cloud, told
):
    document = serve_first(agent, cloud)
    opened = with_candidate(document, cloud.offer(2))
    cloud.publish(opened)
    run(agent)
    cloud.server.requests.clear()
    cloud.publish(replace(document, sequence=9, withdrawn=(release(2),)))

    run(agent)

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    assert cloud.server.bundle_requests() == []
    assert (told()[-1].state, told()[-1].release) == (DeviceState.SERVING, release(1))


def test_a_tampered_bundle_is_never_installed_and_only_delays(
    agent, gateway, cloud, told
):
    document = serve_first(agent, cloud)
    cloud.publish(with_candidate(document, cloud.offer(2)))
    cloud.server.faults.tamper = True
    for _ in range(6):
        assert not agent.step()
    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    cloud.server.faults.tamper = False

    run(agent)

    assert gateway.infer(1, 2, 3)[1] == "magika@2"
    failed = [r for r in told() if r.state is DeviceState.FAILED]
    assert len(failed) == 1
    assert "SHA-256" in failed[0].reason


def test_a_rollout_that_nobody_vouches_for_is_reported_once_and_changes_nothing(
    agent, gateway, cloud, told
):
    document = serve_first(agent, cloud)
    good = cloud.offer(2)
    bundle = replace(good.variants["fp32"], sha256="0" * 64)
    cloud.publish(with_candidate(document, Offer(release(2), {"fp32": bundle})))

    for _ in range(3):
        agent.step()

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    complaints = [r for r in told() if r.release is None]
    assert len(complaints) == 1
    assert "the rollout names" in complaints[0].reason


def test_without_the_cloud_the_gateway_serves_and_the_agent_waits(
    agent, gateway, cloud
):
    serve_first(agent, cloud)
    cloud.server.faults.status = 503

    for _ in range(3):
        assert agent.step()
        assert gateway.infer(1, 2, 3)[1] == "magika@1"


def test_a_deployment_that_was_pulled_is_finished_without_the_cloud(
    agent, gateway, cloud, rebuilt
):
    document = serve_first(agent, cloud)
    cloud.publish(with_candidate(document, cloud.offer(2)))
    gateway.stop()
    assert not agent.step()
    cloud.server.faults.status = 503
    with running_gateway(gateway.state_dir, gateway.log) as again:
        run(rebuilt())
        assert again.infer(1, 2, 3)[1] == "magika@2"


def test_a_release_that_the_supervisor_gave_up_is_reported_as_rolled_back(
    agent, gateway, cloud, told
):
    document = serve_first(agent, cloud)
    cloud.publish(with_candidate(document, cloud.offer(2)))
    run(agent)
    assert ask(gateway.state_dir, {"do": "roll_back"}, timeout_s=10.0)["ok"]

    run(agent)

    fallen = [r for r in told() if r.state is DeviceState.ROLLED_BACK]
    assert [(r.release, r.rollout_id) for r in fallen] == [(release(2), "magika@2#1")]
    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    assert told()[-1].state is DeviceState.SERVING


def test_a_candidate_superseded_half_way_gives_way_to_the_next(agent, gateway, cloud):
    document = serve_first(agent, cloud)
    second = with_candidate(document, cloud.offer(2))
    cloud.publish(second)
    cloud.server.faults.cut_after = 300
    assert not agent.step()
    cloud.server.faults.cut_after = None
    third = with_candidate(second, cloud.offer(3), rollout_id="magika@3#1")
    cloud.publish(third)

    run(agent)

    assert gateway.infer(1, 2, 3)[1] == "magika@3"


def pull_what_expires_soon(agent, repository):
    """Let the agent take a candidate in; return when its metadata expires.

    A machine that is too slow for one second is given more.
    """
    for valid_s in (1, 4, 16, 64):
        expires = datetime.now(UTC) + timedelta(seconds=valid_s)
        repository.refresh_timestamp(expires=expires)
        is_done = agent.step()
        if not is_done:
            return expires
    raise AssertionError("the candidate was not taken in")


def test_a_deployment_whose_metadata_expired_waits_for_the_cloud(
    agent, gateway, cloud, repository, rebuilt
):
    document = serve_first(agent, cloud)
    cloud.publish(with_candidate(document, cloud.offer(2)))
    gateway.stop()
    expires = pull_what_expires_soon(agent, repository)
    cloud.server.faults.status = 503
    wait_until(lambda: datetime.now(UTC) > expires, "the metadata has expired")
    with running_gateway(gateway.state_dir, gateway.log) as again:
        assert not rebuilt().step()
        assert again.infer(1, 2, 3)[1] == "magika@1"
        cloud.server.faults.status = None
        repository.refresh_timestamp()

        run(rebuilt())
        assert again.infer(1, 2, 3)[1] == "magika@2"


def test_a_switch_that_the_agent_did_not_live_to_hear_of_is_reported(
    agent, gateway, cloud, rebuilt, told
):
    document = serve_first(agent, cloud)
    cloud.publish(with_candidate(document, cloud.offer(2)))
    gateway.stop()
    assert not agent.step()
    with running_gateway(gateway.state_dir, gateway.log) as again:
        wait_until(lambda: again.status()["ready"], "release 1 serves again")
        order = {"do": "switch", "slot": "b"}
        assert ask(gateway.state_dir, order, timeout_s=30.0)["ok"]

        run(rebuilt())

    last = told()[-1]
    assert (last.state, last.release) == (DeviceState.SERVING, release(2))
    assert last.rollout_id == "magika@2#1"
    assert not [r for r in told() if r.state is DeviceState.ROLLED_BACK]


def test_a_gateway_that_came_with_a_release_says_so(
    agent, gateway, cloud, told, rebuilt
):
    serve_first(agent, cloud)
    (gateway.state_dir / "agent" / "memory.json").unlink()
    for path in (gateway.state_dir / "spool").glob("0*.json"):
        path.unlink()
    run(rebuilt())
    assert [(r.state, r.release) for r in told()] == [(DeviceState.SERVING, release(1))]


def test_what_was_withdrawn_does_not_stay_in_the_other_slot(
    agent, gateway, cloud, state_dir
):
    document = serve_first(agent, cloud)
    opened = with_candidate(document, cloud.offer(2))
    cloud.publish(opened)
    run(agent)
    assert gateway.infer(1, 2, 3)[1] == "magika@2"

    withdrawn = replace(document, sequence=opened.sequence + 1, withdrawn=(release(2),))
    cloud.publish(withdrawn)
    run(agent)

    assert gateway.infer(1, 2, 3)[1] == "magika@1"
    slots = open_slots(state_dir)
    wait_until(lambda: not gateway.status()["previous"], "the probation is over")
    run(agent)
    assert slots.active().release == release(1)
    assert slots.inactive().release is None
