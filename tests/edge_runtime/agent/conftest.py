"""A signed repository on loopback, and a gateway's state directory."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_runtime.agent.archive import Archive
from edge_runtime.agent.clock import Clock
from edge_runtime.agent.identity.enroll import load_identity
from edge_runtime.agent.loop import build_agent
from edge_runtime.agent.machine import Stage
from edge_runtime.agent.memory import Deployment
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.pull import Downloads
from edge_runtime.agent.report import Spool
from edge_runtime.agent.site import Site
from edge_runtime.agent.stages import Tools
from edge_runtime.agent.switch import Supervisor
from edge_runtime.agent.trust.trust import Trust
from edge_runtime.settings.agent_settings import AgentSettings
from edge_runtime.settings.site_settings import SiteSettings
from edge_runtime.slots import open_slots
from packhorse.device_key import public_pem, verify_envelope
from packhorse.report import decode_report, open_envelope
from tests.edge_runtime.agent.bundles import make_offer, release
from tests.edge_runtime.agent.gateway import running_gateway
from tests.edge_runtime.agent.receiver import Receiver
from tests.tuf_repository import RepositoryServer, TufRepository


@pytest.fixture
def repository(tmp_path: Path) -> TufRepository:
    return TufRepository(tmp_path / "repository")


@pytest.fixture
def server(repository: TufRepository) -> Iterator[RepositoryServer]:
    server = RepositoryServer(repository.folder)
    yield server
    server.stop()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def trust(state_dir, server, repository) -> Trust:
    return Trust(state_dir, server.url, repository.root_bytes, Web())


class Cloud:
    """The repository as the cloud fills it, and the server that has it."""

    def __init__(self, repository, server):
        self.publish = repository.publish_rollout
        self.server = server
        self._repository = repository

    def offer(self, version, *model, **details):
        return make_offer(self._repository, version, *model, **details)


@pytest.fixture
def cloud(repository, server):
    return Cloud(repository, server)


@pytest.fixture
def settings(tmp_path, state_dir, server, repository) -> AgentSettings:
    root_file = tmp_path / "root.json"
    root_file.write_bytes(repository.root_bytes)
    return AgentSettings(
        state_dir=state_dir,
        device="gateway-1",
        ring=0,
        model="magika",
        variants=("fp32",),
        repository_url=server.url,
        root_file=root_file,
        enroll_url="http://127.0.0.1:1/enroll",
        enroll_token="",
        report_url="http://127.0.0.1:1/report",
        mqtt=None,
        poll_s=300.0,
        probation_s=1.0,
    )


@pytest.fixture
def gateway(state_dir, tmp_path):
    with running_gateway(state_dir, tmp_path / "serve.log") as gateway:
        yield gateway


@pytest.fixture
def identity(state_dir):
    return load_identity(state_dir, "gateway-1")


@pytest.fixture
def spool(state_dir, identity):
    return Spool(
        state_dir / "spool",
        device="gateway-1",
        sign=identity.sign,
        clock=lambda: 0,  # numbers begin at 1
    )


@pytest.fixture
def agent(settings, identity, spool):
    return build_agent(settings, identity, spool)


@pytest.fixture
def rebuilt(settings, identity, spool):
    """Return a function that starts over with what lies on the disk."""
    return lambda: build_agent(settings, identity, spool)


@pytest.fixture
def told(spool, identity):
    """Return the reports that wait, each checked with the device's own key."""
    public = public_pem(identity.key_pem)

    def read():
        envelopes = [open_envelope(path.read_bytes()) for path in spool.waiting()]
        for envelope in envelopes:
            verify_envelope(envelope, public)
        return [decode_report(envelope.payload) for envelope in envelopes]

    return read


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def tools(state_dir, server):
    return Tools(
        slots=open_slots(state_dir),
        downloads=Downloads(state_dir / "downloads", server.url, Web()),
        supervisor=Supervisor(state_dir),
        archive=Archive(state_dir / "archive", 1_000_000),
        site=Site(state_dir, SiteSettings(), Clock(state_dir)),
    )


@pytest.fixture
def deployment_of(repository):
    def publish(version, **details):
        return Deployment(
            release=release(version),
            variant="fp32",
            bundle=make_offer(repository, version, **details).variants["fp32"],
            rollout_id="",
            stage=Stage.PULL,
            valid_until=datetime.now(UTC) + timedelta(days=1),
        )

    return publish
