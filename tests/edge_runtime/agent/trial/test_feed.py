"""Live requests on their way from the worker to the process that tries a candidate."""

import threading

import pytest

from edge_runtime.agent.errors import ReleaseRefusedError
from edge_runtime.agent.install import install_bundle
from edge_runtime.agent.switch import Supervisor, serve_slot
from edge_runtime.agent.trial.feed import LiveRequests
from edge_runtime.agent.trial.try_out import try_release
from edge_runtime.errors import ControlError
from edge_runtime.live_requests import read_requests
from edge_runtime.settings.agent_settings import ShadowSettings
from edge_runtime.slots import open_slots
from packhorse.shadow_limits import ShadowLimits
from tests.edge_runtime.agent.bundles import ROW, make_bundle, release, scaled
from tests.edge_runtime.agent.gateway import wait_until

LIMITS = ShadowLimits(min_agreement=0.9, min_requests=10)


@pytest.fixture
def slots(state_dir):
    return open_slots(state_dir)


@pytest.fixture
def install(slots, tmp_path):
    def install(name, body):
        path = tmp_path / "some.bundle"
        path.write_bytes(body)
        install_bundle(path, slots.slot(name))
        return slots.slot(name)

    return install


@pytest.fixture
def supervisor(gateway, install):
    """Return the supervisor of a gateway that serves release 1."""
    supervisor = Supervisor(gateway.state_dir)
    serve_slot(supervisor, install("a", make_bundle(release(1))), release(1))
    return supervisor


@pytest.fixture
def traffic(gateway, supervisor):
    """Ask the gateway again and again; return the list of what was not answered."""
    stop, failures = threading.Event(), []

    def ask():
        number = 0.0
        while not stop.is_set():
            number += 1.0
            if gateway.infer(number, 2, 3)[0] != 200:
                failures.append(number)
            stop.wait(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    yield failures
    stop.set()
    thread.join()


def test_a_candidate_that_agrees_is_shown_live_requests_until_it_was_enough(
    slots, supervisor, install, traffic
):
    candidate = install("b", make_bundle(release(2), scaled(3.0), expected=ROW * 3))
    settings = ShadowSettings(time_s=30.0, requests=50, limits=LIMITS)

    measures = try_release(candidate, slots.active(), supervisor, settings)

    assert measures["shadow_requests"] == 50
    assert measures["shadow_agreement"] == 1.0
    assert measures["latency_ratio"] > 0
    assert not traffic
    assert not list((supervisor.state_dir / "run").glob("recent*"))


def test_a_gateway_refuses_by_its_own_limits_too(slots, supervisor, install, traffic):
    candidate = install("b", make_bundle(release(2), scaled(-1.0), expected=-ROW))
    settings = ShadowSettings(time_s=30.0, requests=20, limits=LIMITS)

    with pytest.raises(ReleaseRefusedError, match="answered as the active"):
        try_release(candidate, slots.active(), supervisor, settings)

    assert not traffic


def test_without_a_supervisor_nothing_is_tried(slots, state_dir, install):
    active = install("a", make_bundle(release(1)))
    slots.activate(active)
    candidate = install("b", make_bundle(release(2)))
    with pytest.raises(ControlError):
        try_release(candidate, active, Supervisor(state_dir), ShadowSettings())


def test_each_look_shows_what_came_since_the_last(gateway, supervisor):
    requests = LiveRequests(supervisor)
    assert requests.look() is None

    seen = []
    for number in (1.0, 2.0):
        gateway.infer(number, 0, 0)
        with wait_until(requests.look, "the request is kept") as file:
            seen += [float(r.inputs["x"][0, 0]) for r in read_requests(file)]

    assert seen == [1.0, 2.0]
    assert requests.look() is None
    assert not list((gateway.state_dir / "run").glob("recent*"))


def test_what_a_killed_agent_left_is_removed(state_dir):
    folder = state_dir / "run"
    folder.mkdir()
    (folder / "recent").write_bytes(b"secret")
    (folder / "recent.1").write_bytes(b"secret")
    (folder / "other").write_bytes(b"")

    LiveRequests(Supervisor(state_dir)).clear()

    assert [path.name for path in folder.iterdir()] == ["other"]
