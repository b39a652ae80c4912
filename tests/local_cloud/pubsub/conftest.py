"""Pub/Sub servers: ours, and Google's emulator where it is installed."""

import pytest

from tests.local_cloud.pubsub.cloud import Cloud
from tests.local_cloud.pubsub.stand_ins import (
    Endpoint,
    StandIn,
    emulator_jar,
    google_emulator,
    running,
)


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    with running(StandIn("identity", [], tmp_path_factory.mktemp("identity"))) as found:
        yield found


@pytest.fixture(scope="session")
def our_server(identity, tmp_path_factory):
    words = ["--token-url", f"http://127.0.0.1:{identity.port}/token"]
    with running(StandIn("pubsub", words, tmp_path_factory.mktemp("pubsub"))) as found:
        yield found


@pytest.fixture(scope="session")
def google_server():
    with google_emulator() as address:
        yield address


@pytest.fixture(params=["ours", "google"] if emulator_jar() else ["ours"])
def cloud(request, monkeypatch):
    """A project on each of the servers in turn."""
    if request.param == "ours":
        address = f"127.0.0.1:{request.getfixturevalue('our_server').port}"
    else:
        address = request.getfixturevalue("google_server")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", address)
    cloud = Cloud()
    yield cloud
    cloud.close()


@pytest.fixture
def our_cloud(our_server, monkeypatch):
    """A project on our server."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{our_server.port}")
    cloud = Cloud()
    yield cloud
    cloud.close()


@pytest.fixture
def own_server(tmp_path, monkeypatch):
    """A server of the test's own, to kill and to start again."""
    server = StandIn("pubsub", [], tmp_path / "pubsub")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{server.port}")
    with running(server):
        yield server


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    yield endpoint
    endpoint.stop()


@pytest.fixture
def endpoints():
    """Make endpoints that answer with these statuses."""
    made = []

    def make(*statuses, port=0):
        made.append(Endpoint(*statuses, port=port))
        return made[-1]

    yield make
    for each in made:
        each.stop()
