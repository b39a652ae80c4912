"""What must hold of a bundle before it may be tried."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edge_runtime.agent.errors import DamagedError, ReleaseRefusedError
from edge_runtime.agent.install import install_bundle
from edge_runtime.agent.machine import Stage
from edge_runtime.agent.memory import Deployment
from edge_runtime.agent.verify import check_runtime, verify_bundle
from edge_runtime.slots import open_slots
from packhorse.assignment import BundleRef
from packhorse.manifest import RuntimeNeeds
from tests.edge_runtime.agent.bundles import make_bundle, release


def deployment_of(body, version=1):
    digest = hashlib.sha256(body).hexdigest()
    return Deployment(
        release=release(version),
        variant="fp32",
        bundle=BundleRef(f"bundles/magika/{version}/fp32.tar", len(body), digest),
        rollout_id="",
        stage=Stage.VERIFY,
        valid_until=datetime.now(UTC),
    )


@pytest.fixture
def stored(tmp_path):
    def store(body):
        path = tmp_path / "some.bundle"
        path.write_bytes(body)
        return path

    return store


def test_a_bundle_that_is_what_it_says_is_verified(stored):
    body = make_bundle(release(1))
    manifest = verify_bundle(stored(body), deployment_of(body))
    assert manifest.release == release(1)


def test_a_bundle_that_is_gone_is_damage(tmp_path):
    with pytest.raises(DamagedError, match="is gone"):
        verify_bundle(tmp_path / "none.bundle", deployment_of(b"x"))


def test_a_bundle_that_changed_on_the_disk_is_damage(stored):
    body = make_bundle(release(1))
    with pytest.raises(DamagedError, match="should have SHA-256"):
        verify_bundle(stored(body[:-1] + b"x"), deployment_of(body))


def test_a_bundle_of_another_release_is_refused(stored):
    body = make_bundle(release(2))
    with pytest.raises(ReleaseRefusedError, match="says that it is magika@2"):
        verify_bundle(stored(body), deployment_of(body))


def test_a_bundle_of_another_variant_is_refused(stored):
    body = make_bundle(release(1))
    wanted = replace(deployment_of(body), variant="int8")
    with pytest.raises(ReleaseRefusedError, match="fp32"):
        verify_bundle(stored(body), wanted)


def test_what_is_no_bundle_is_refused(stored):
    with pytest.raises(ReleaseRefusedError, match="malformed"):
        verify_bundle(stored(b"no tar at all"), deployment_of(b"no tar at all"))


def test_a_bundle_for_a_newer_runtime_is_refused():
    with pytest.raises(ReleaseRefusedError, match=r"needs onnxruntime 1\.30\.0"):
        check_runtime(RuntimeNeeds(9, {"": 20}, "1.30.0"), "1.29.3")


def test_a_bundle_for_an_older_runtime_is_refused():
    with pytest.raises(ReleaseRefusedError, match=r"up to 1\.9\.0"):
        check_runtime(RuntimeNeeds(9, {"": 20}, "1.2.0", "1.9.0"), "1.10.0")


def test_a_bundle_within_the_range_is_taken():
    check_runtime(RuntimeNeeds(9, {"": 20}, "1.2.0", "1.32.0"), "1.32.0")


def test_an_installed_slot_is_sealed_and_holds_the_release(stored, state_dir):
    slot = open_slots(state_dir).inactive()
    install_bundle(stored(make_bundle(release(1))), slot)
    assert slot.verify().release == release(1)


def test_installing_twice_is_installing_once(stored, state_dir):
    slot = open_slots(state_dir).inactive()
    install_bundle(stored(make_bundle(release(1), padding=b"old" * 99)), slot)
    install_bundle(stored(make_bundle(release(2))), slot)
    assert slot.verify().release == release(2)
    assert not (slot.path / "padding.bin").exists()


@pytest.mark.parametrize("at", [1600, 2600, -700], ids=["header", "model", "golden"])
def test_a_bundle_with_a_wrong_byte_never_counts_as_installed(stored, state_dir, at):
    body = bytearray(make_bundle(release(1), padding=bytes(2000)))
    body[at] ^= 1
    slot = open_slots(state_dir).inactive()
    with pytest.raises(ReleaseRefusedError, match="malformed"):
        install_bundle(stored(bytes(body)), slot)
    assert not slot.is_sealed


def test_a_bundle_that_vanished_is_damage(tmp_path, state_dir):
    slot = open_slots(state_dir).inactive()
    with pytest.raises(DamagedError):
        install_bundle(tmp_path / "none.bundle", slot)
    assert not slot.is_sealed
