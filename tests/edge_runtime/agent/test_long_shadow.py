"""A long shadow run goes on while its release is wanted, and not a moment longer."""

import threading
import time
from dataclasses import replace

import pytest

from edge_runtime.agent.loop import build_agent
from edge_runtime.settings.agent_settings import ShadowSettings
from packhorse.assignment import RolloutDocument
from packhorse.report import DeviceState
from packhorse.shadow_limits import ShadowLimits
from tests.edge_runtime.agent.bundles import ROW, make_offer, release, scaled
from tests.edge_runtime.agent.gateway import wait_until

LONG_S = 120.0


@pytest.fixture
def publish(repository):
    """Return a function that offers releases to every gateway."""
    sequence = iter(range(1, 100))

    stable = make_offer(repository, 1)

    def publish(*candidate, **fields):
        found = {"stable": stable}
        if candidate:
            bundle = fields.pop("bundle", {})
            found |= {"candidate": make_offer(repository, 2, *candidate, **bundle)}
            found |= {"rollout_id": "magika@2#1", "shares": {0: 10_000}}
        document = RolloutDocument("magika", next(sequence), **(found | fields))
        repository.publish_rollout(document)

    return publish


@pytest.fixture
def patient(settings, identity, spool):
    """An agent that shadows for two minutes, unless it is stopped."""
    shadow = ShadowSettings(LONG_S, 10_000)
    return build_agent(replace(settings, shadow=shadow, poll_s=0.5), identity, spool)


def shadowing(state_dir):
    """Return whether a candidate waits for live requests."""
    return (state_dir / "slots" / "b" / "installed.json").exists()


def test_a_withdrawal_ends_a_long_shadow_run(
    patient, gateway, publish, state_dir, told
):
    publish()
    wait_until(patient.step, "release 1 serves")
    publish(scaled(2.0))
    thread = threading.Thread(target=patient.step)
    thread.start()
    wait_until(lambda: shadowing(state_dir), "release 2 is installed")
    time.sleep(1.0)
    assert thread.is_alive()

    begun_s = time.monotonic()
    publish(withdrawn=(release(2),))
    thread.join(30.0)

    assert time.monotonic() - begun_s < 15.0
    states = [report.state for report in told() if report.release == release(2)]
    assert DeviceState.TRIED not in states
    assert gateway.infer(1, 2, 3)[1] == "magika@1"


def test_a_release_that_disagrees_is_refused_by_what_its_owner_signed(
    agent, gateway, publish, told
):
    publish()
    wait_until(agent.step, "release 1 serves")
    gateway.infer(1, 2, 3)
    limits = ShadowLimits(min_agreement=0.5, min_requests=1)
    publish(scaled(-1.0), bundle={"expected": -ROW, "shadow": limits})

    wait_until(agent.step, "release 2 is refused")

    last = told()[-1]
    assert (last.state, last.release) == (DeviceState.REFUSED, release(2))
    assert "of 1 live requests 0.0% were answered" in last.reason
    assert last.measures["shadow_agreement"] == 0.0
    assert last.measures["latency_ratio"] > 0
    assert gateway.infer(1, 2, 3)[1] == "magika@1"
