"""A gateway without a battery, for which it is 1970 at every start.

Its processes see that time, and so does their OpenSSL: every certificate there is
lies in the future. The servers live today.
"""

import json
import os
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edge_runtime.agent.notices import notice_topic
from packhorse.assignment import RolloutDocument
from packhorse.report import DeviceState
from packhorse.trust_root import SIGNED_AT
from tests.edge_runtime.agent.broker import notices_of, publishing
from tests.edge_runtime.agent.bundles import make_offer, release
from tests.edge_runtime.agent.gateway import running_gateway, wait_until
from tests.edge_runtime.agent.receiver import Receiver
from tests.edge_runtime.agent.test_loop import running_agent, serves
from tests.edge_runtime.certificates import make_authority
from tests.mosquitto import running_mosquitto
from tests.tuf_repository import RepositoryServer, TufRepository
from tests.wall_clock import started_at

BOOT = datetime(1970, 1, 2, tzinfo=UTC)


class Site:
    """A cloud of today behind TLS, and a gateway whose clock begins in 1970."""

    def __init__(self, folder):
        self.state_dir = folder / "state"
        self.log = folder / "agent.log"
        self._folder = folder
        self.authority = make_authority(folder)
        tls = self.authority.serve()
        self.repository = TufRepository(folder / "repository")
        (folder / "root.json").write_bytes(self.repository.root_bytes)
        self.server = RepositoryServer(self.repository.folder, tls=tls)
        self.receiver = Receiver(tls)
        self._boot = started_at(BOOT, folder)

    def stop(self):
        self.server.stop()
        self.receiver.stop()

    def offer(self, version):
        return make_offer(self.repository, version)

    def publish(self, document):
        """Sign a document, and with it the hour in which that was done."""
        signed_at = datetime.now(UTC).replace(microsecond=0)
        timestamp = self.repository.signed["timestamp"]
        timestamp.unrecognized_fields[SIGNED_AT] = signed_at.isoformat()
        self.repository.publish_rollout(document)
        return signed_at

    def floor(self):
        body = (self.state_dir / "clock.json").read_text()
        return datetime.fromisoformat(json.loads(body)["floor"])

    @contextmanager
    def gateway(self):
        log = self._folder / "serve.log"
        with running_gateway(self.state_dir, log, self._boot) as gateway:
            yield gateway

    @contextmanager
    def agent(self, **settings):
        environment = {
            **os.environ,
            **self._boot,
            "PACKHORSE_STATE_DIR": str(self.state_dir),
            "PACKHORSE_DEVICE": "gateway-1",
            "PACKHORSE_RING": "0",
            "PACKHORSE_MODEL": "magika",
            "PACKHORSE_REPOSITORY_URL": self.server.url,
            "PACKHORSE_ROOT_FILE": str(self._folder / "root.json"),
            "PACKHORSE_ENROLL_URL": f"{self.receiver.url}/enroll",
            "PACKHORSE_REPORT_URL": self.receiver.url,
            "PACKHORSE_CA_FILE": str(self.authority.path),
            "PACKHORSE_POLL_S": "1",
            "PACKHORSE_SHADOW_S": "0.1",
            **settings,
        }
        with running_agent(environment, self.log) as process:
            yield process

    def states(self):
        """Return what was told; who is ended as he tells it tells it once more."""
        told = {report.sequence: report.state for report in self.receiver.reports()}
        return list(told.values())


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.stop()


def test_a_gateway_in_1970_follows_the_cloud_over_tls(site):
    first = RolloutDocument("magika", 1, stable=site.offer(1))
    site.publish(first)
    with site.gateway() as gateway, site.agent():
        wait_until(serves(gateway, "magika@1"), "release 1 serves")
        signed_at = site.publish(RolloutDocument("magika", 2, stable=site.offer(2)))
        wait_until(serves(gateway, "magika@2"), "release 2 serves")
        wait_until(lambda: site.states().count(DeviceState.SERVING) == 2, "reports")
        assert site.floor() == signed_at

    # Its power fails, and it is 1970 again; meanwhile release 2 was withdrawn.
    site.publish(replace(first, sequence=3, withdrawn=(release(2),)))
    with site.gateway() as gateway:
        assert gateway.infer(1, 2, 3)[1] == "magika@2"
        with site.agent():
            wait_until(serves(gateway, "magika@1"), "release 1 serves again")
            wait_until(lambda: site.states().count(DeviceState.SERVING) == 3, "told")
    log = site.log.read_text()
    assert '"event":"certificate_not_yet_valid"' in log
    assert "Warning" not in log


def test_a_gateway_in_1970_enrols_only_when_it_knows_the_time(site):
    site.publish(RolloutDocument("magika", 1, stable=site.offer(1)))
    with site.gateway() as gateway, site.agent(PACKHORSE_ENROLL_TOKEN="one-time"):
        wait_until(serves(gateway, "magika@1"), "release 1 serves")

    log = site.log.read_text()
    assert "enroll_failed" in log
    assert "is not trusted: certificate is not yet valid" in log
    assert site.receiver.enrolments == []


def test_a_gateway_in_1970_hears_notices(site, tmp_path):
    with (
        running_mosquitto(tmp_path) as broker,
        site.gateway() as gateway,
        site.agent(**notices_of(broker)),
        publishing(broker) as notify,
    ):
        wait_until(lambda: "poll_refused" in site.log.read_text(), "a first poll")
        site.publish(RolloutDocument("magika", 1, stable=site.offer(1)))
        notify(notice_topic(0, "magika"), retain=True)
        # A notice that the broker has kept is followed within a minute; one that
        # comes while the agent listens, at once.
        wait_until(serves(gateway, "magika@1"), "release 1 serves", most_s=90.0)
