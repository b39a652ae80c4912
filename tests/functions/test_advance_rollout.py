"""A rollout over the real ledger, the signed bucket and the Vertex stand-in."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from google.cloud import storage

from functions.errors import NotFoundError
from functions.release import rollout
from functions.release.rollout import RolloutState
from functions.release.shadows import ShadowCounts, ShadowReport
from packhorse.assignment import assigned_offer, decode_rollout, device_position
from packhorse.names import Release
from packhorse.report import DeviceState, Report
from tests.functions.signed_bucket import sign_bucket
from tests.functions.vertex_stand_in import PARENT, SERVING, doubling_bundle

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ONE, TWO, THREE = (Release("magika", version) for version in (1, 2, 3))
PATIENT = {"RING_SOAK_S": "0", "RING_PATIENCE_S": "3600"}


class Fleet:
    """The cloud side of a model, and the devices that follow it."""

    def __init__(self, ledger, bucket, push, vertex):
        self.ledger, self.bucket, self.push, self.vertex = ledger, bucket, push, vertex
        self.sequence = 0

    def enrol(self, device, ring):
        self.ledger.record_device(device, ring=ring, at=NOW)

    def offer(self, release):
        """Bring a release to where its rollout begins, as the workflow does."""
        _, bundle = doubling_bundle(release)
        digest = f"sha256:{release.version:064x}"
        self.ledger.register_release(
            release, digest=digest, card={}, variants=["fp32"], at=NOW
        )
        self.ledger.variant_packaged(release, "fp32", bundle, NOW)
        self.ledger.published(release, at=NOW)
        self.ledger.deployed(release, at=NOW)
        self._upload(release)
        self.ledger.open_rollout(release, at=NOW)

    def tick(self):
        body = json.dumps({"model": "magika"}).encode()
        assert self.push("advance_rollout", body).status_code == 200
        return self.record

    def tick_until(self, state, ring=None):
        deadline = time.monotonic() + 90
        while not self._stands(state, ring):
            assert time.monotonic() < deadline, self.record
            self.tick()
            time.sleep(0.02)
        return self.record

    def report(self, device, state, reason=""):
        self.sequence += 1
        release = self.document.candidate.release
        report = Report(
            device, self.sequence, NOW, release, self.document.rollout_id, state, reason
        )
        self.ledger.record_report(report, digest=str(self.sequence), at=NOW)

    def shadow(self, letter, counts):
        """Report what shadow runs found just now."""
        now = datetime.now(UTC)
        report = ShadowReport(letter * 32, ONE, TWO, now, counts)
        self.ledger.record_shadows(report, at=now)

    def roll_out(self, release, devices):
        self.offer(release)
        self.tick_until(RolloutState.OPEN)
        for device, ring in devices.items():
            self.tick_until(RolloutState.OPEN, ring)
            self.report(device, DeviceState.SERVING)
        self.tick_until(RolloutState.FINISHED)

    @property
    def record(self):
        return self.ledger.rollout("magika")

    @property
    def document(self):
        """Read what the devices read: the newest signed rollout document."""
        with storage.Client(project="demo") as client:
            blobs = client.list_blobs(self.bucket, prefix="targets/rollouts/")
            documents = [decode_rollout(blob.download_as_bytes()) for blob in blobs]
        return max(documents, key=lambda document: document.sequence)

    def traffic(self):
        shown = self.vertex.get(SERVING)
        names = {each["id"]: each["displayName"] for each in shown["deployedModels"]}
        return {names[key]: n for key, n in shown["trafficSplit"].items() if n}

    def deployed(self):
        shown = self.vertex.get(SERVING)["deployedModels"]
        return sorted(each["displayName"] for each in shown)

    def _stands(self, state, ring):
        is_there = self.record.state is state and self.record.is_published
        return is_there and (ring is None or self.record.ring == ring)

    def _upload(self, release):
        number = self.vertex.upload(release)
        self.ledger.record_model_version(release, f"{PARENT}/models/magika@{number}")


@pytest.fixture
def fleet(vertex, topics, push, bucket, store, ledger, tmp_path, monkeypatch):
    monkeypatch.setenv("BUNDLE_BUCKET", bucket)
    for name, value in PATIENT.items():
        monkeypatch.setenv(name, value)
    sign_bucket(store, tmp_path, monkeypatch.setenv)
    return Fleet(ledger, bucket, push, vertex)


@pytest.fixture
def two_rings(fleet):
    fleet.enrol("gateway-1", 0)
    fleet.enrol("gateway-2", 1)
    return fleet


DEVICES = {"gateway-1": 0, "gateway-2": 1}


def test_a_first_release_goes_ring_by_ring_and_then_answers_everybody(two_rings):
    two_rings.offer(ONE)

    two_rings.tick_until(RolloutState.OPEN, 0)
    document = two_rings.document
    assert assigned_offer(document, device="gateway-1", ring=0).release == ONE
    assert assigned_offer(document, device="gateway-2", ring=1) is None
    assert two_rings.traffic() == {}

    two_rings.report("gateway-1", DeviceState.SERVING)
    two_rings.tick_until(RolloutState.OPEN, 1)
    assert two_rings.traffic() == {"magika@1": 100}

    two_rings.report("gateway-2", DeviceState.SERVING)
    record = two_rings.tick_until(RolloutState.FINISHED)
    assert record.stable.release == ONE
    assert two_rings.document.stable.release == ONE


def test_an_upgrade_meets_few_callers_first_and_keeps_the_way_back(two_rings):
    two_rings.roll_out(ONE, DEVICES)
    two_rings.offer(TWO)
    two_rings.tick_until(RolloutState.OPEN, 0)
    assert two_rings.traffic() == {"magika@1": 100}

    two_rings.report("gateway-1", DeviceState.SERVING)
    two_rings.tick_until(RolloutState.OPEN, 1)
    assert two_rings.traffic() == {"magika@1": 95, "magika@2": 5}

    two_rings.report("gateway-2", DeviceState.SERVING)
    two_rings.tick_until(RolloutState.FINISHED)
    assert two_rings.traffic() == {"magika@2": 100}
    assert two_rings.deployed() == ["magika@1", "magika@2"]


def test_a_bad_release_withdraws_itself_and_no_caller_ever_meets_it(two_rings):
    two_rings.roll_out(ONE, DEVICES)
    two_rings.offer(TWO)
    two_rings.tick_until(RolloutState.OPEN, 0)

    two_rings.report("gateway-1", DeviceState.REFUSED, "NaN for a picture")
    record = two_rings.tick_until(RolloutState.WITHDRAWN)

    assert "1 of 1 devices in ring 0" in record.reason
    assert "NaN for a picture" in record.reason
    assert two_rings.document.withdrawn == (TWO,)
    assert two_rings.document.stable.release == ONE
    assert two_rings.traffic() == {"magika@1": 100}
    assert two_rings.deployed() == ["magika@1"]


def test_shadow_runs_that_disagree_halt_until_a_person_has_looked(two_rings):
    two_rings.roll_out(ONE, DEVICES)
    two_rings.offer(TWO)
    two_rings.tick_until(RolloutState.OPEN, 0)
    two_rings.shadow("a", ShadowCounts(agreed=90, differed=9))
    assert two_rings.tick().state is RolloutState.OPEN

    two_rings.shadow("b", ShadowCounts(differed=1, reason="output 'y' differs"))
    record = two_rings.tick_until(RolloutState.HALTED)

    assert "of 100 live requests 90.0% were answered alike" in record.reason
    assert "output 'y' differs" in record.reason
    assert two_rings.document.is_held

    # Later than what was counted, which is counted by the minute.
    resumed = rollout.resume(record, at=datetime.now(UTC) + timedelta(minutes=1))
    two_rings.ledger.save_rollout(resumed, expected_sequence=record.sequence)
    assert two_rings.tick().state is RolloutState.OPEN


def test_a_withdrawn_stable_release_gives_way_in_one_pass(two_rings):
    two_rings.roll_out(ONE, DEVICES)
    two_rings.roll_out(TWO, DEVICES)
    withdrawn = rollout.withdraw(two_rings.record, TWO, reason="wrong")
    two_rings.ledger.save_rollout(
        withdrawn, expected_sequence=two_rings.record.sequence
    )

    two_rings.tick()

    assert two_rings.traffic() == {"magika@1": 100}
    assert two_rings.document.stable.release == ONE
    assert two_rings.document.withdrawn == (TWO,)


def test_a_pass_that_broke_off_after_the_decision_is_finished_by_the_next(
    two_rings, monkeypatch
):
    two_rings.offer(ONE)
    two_rings.tick_until(RolloutState.OPEN, 0)
    halted = rollout.halt(two_rings.record, reason="a hunch")
    two_rings.ledger.save_rollout(halted, expected_sequence=halted.sequence - 1)
    assert not two_rings.document.is_held

    two_rings.tick()

    assert two_rings.document.is_held
    assert two_rings.record.is_published


def test_the_first_ring_of_a_large_fleet_admits_its_share_and_no_more(fleet):
    for number in range(60):
        fleet.enrol(f"gateway-{number}", number % 2)
    fleet.offer(ONE)

    fleet.tick_until(RolloutState.OPEN, 0)

    document = fleet.document
    ring_0 = [f"gateway-{number}" for number in range(0, 60, 2)]
    positions = [device_position(document.rollout_id, device) for device in ring_0]
    assert sum(position < document.shares[0] for position in positions) == 3
    assert 1 not in document.shares


def test_without_devices_the_release_goes_straight_to_the_callers(fleet):
    fleet.offer(ONE)

    fleet.tick_until(RolloutState.FINISHED)

    assert fleet.traffic() == {"magika@1": 100}


def test_the_devices_are_told_once_for_each_change(two_rings, topics):
    two_rings.offer(ONE)
    two_rings.tick_until(RolloutState.OPEN, 0)
    two_rings.tick()

    (told,) = topics.read_json("rollouts")
    assert told == {"model": "magika", "sequence": two_rings.record.sequence} | {
        "rings": told["rings"]
    }
    assert 0 in told["rings"]


def test_an_event_without_a_model_advances_every_rollout(two_rings, push):
    two_rings.offer(ONE)

    assert push("advance_rollout", b"{}").status_code == 200

    assert two_rings.record.state is RolloutState.OPEN


def test_a_model_that_nobody_rolls_out_is_no_error(two_rings, push):
    assert push("advance_rollout", b'{"model": "other"}').status_code == 200


def test_a_cloud_that_is_away_makes_the_event_come_back(two_rings, push):
    two_rings.roll_out(ONE, DEVICES)
    two_rings.offer(TWO)
    two_rings.vertex.process.kill()
    two_rings.vertex.process.wait()

    assert push("advance_rollout", b"{}").status_code == 503

    assert two_rings.record.state is RolloutState.OPEN
    assert not two_rings.record.is_published


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model": "Not A Name"}', b'{"x": 1}'])
def test_an_event_that_says_nothing_is_acknowledged_and_does_nothing(
    two_rings, push, body
):
    assert push("advance_rollout", body).status_code == 200
    assert two_rings.record is None


def test_a_release_that_was_never_uploaded_waits(two_rings, push):
    two_rings.offer(ONE)
    two_rings.ledger.record_model_version(ONE, "")
    two_rings.tick_until(RolloutState.OPEN, 0)
    two_rings.report("gateway-1", DeviceState.SERVING)

    assert push("advance_rollout", b"{}").status_code == 409
    with pytest.raises(NotFoundError):
        two_rings.ledger.record_model_version(THREE, "")


def test_a_model_that_only_devices_run_asks_nothing_of_the_cloud(
    two_rings, monkeypatch
):
    named = {"candidate": SERVING, "serving": SERVING}
    monkeypatch.setenv("MODEL_ENDPOINTS", json.dumps({"other": named}))

    two_rings.roll_out(ONE, DEVICES)

    assert two_rings.record.stable.release == ONE
    assert two_rings.traffic() == {}


def test_what_nobody_goes_back_to_is_undeployed(two_rings):
    for release in (ONE, TWO, THREE):
        two_rings.roll_out(release, DEVICES)

    deadline = time.monotonic() + 20
    while two_rings.deployed() != ["magika@2", "magika@3"]:
        assert time.monotonic() < deadline, two_rings.deployed()
        time.sleep(0.05)
    assert two_rings.traffic() == {"magika@3": 100}


def test_a_release_that_cannot_be_deployed_for_callers_is_halted_until_a_person_looks(
    two_rings,
):
    two_rings.offer(Release("magika", 7))
    two_rings.tick_until(RolloutState.OPEN)
    two_rings.report("gateway-1", DeviceState.SERVING)

    halted = two_rings.tick_until(RolloutState.HALTED)
    again = rollout.resume(halted, at=NOW)
    two_rings.ledger.save_rollout(again, expected_sequence=halted.sequence)

    assert "deploy_serving was tried 2 times" in halted.reason
    assert "tried 3 times" in two_rings.tick_until(RolloutState.HALTED).reason


def test_devices_that_enrol_during_the_first_step_are_not_hurt_by_it(fleet):
    fleet.enrol("gateway-1", 0)
    fleet.offer(ONE)
    fleet.tick_until(RolloutState.OPEN, 0)
    enrolled_at = datetime.now(UTC)
    for number in range(2, 12):
        fleet.ledger.record_device(f"gateway-{number}", ring=0, at=enrolled_at)

    fleet.tick()
    admitted = [
        number
        for number in range(1, 12)
        if assigned_offer(
            fleet.document,
            device=f"gateway-{number}",
            ring=0,
            enrolled_at=NOW if number == 1 else enrolled_at,
        )
    ]
    assert admitted == [1]

    fleet.report("gateway-1", DeviceState.REFUSED, "NaN")
    assert "1 of 1 devices" in fleet.tick_until(RolloutState.WITHDRAWN).reason
