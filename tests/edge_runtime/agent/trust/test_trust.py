"""What the gateway believes, and what it refuses to."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.web import NoCredentials, Web
from edge_runtime.agent.trust.trust import Trust
from packhorse.assignment import BundleRef, Offer, RolloutDocument, bundle_target
from packhorse.errors import UntrustedError
from tests.crash.steps import fault_text, watched
from tests.edge_runtime.agent.bundles import release


def offer(version, bundle):
    return Offer(release(version), {"fp32": bundle})


@pytest.fixture
def document(repository):
    bundle = repository.publish_bundle(release(1), b"one")
    document = RolloutDocument("magika", 3, stable=offer(1, bundle))
    repository.publish_rollout(document)
    return document


def test_a_signed_rollout_of_vouched_bundles_is_believed(trust, document):
    truth = trust.refresh("magika")

    assert truth.document == document
    assert truth.valid_until > datetime.now(UTC)
    assert trust.accepted("magika") == document


def test_a_look_that_finds_nothing_new_leaves_the_generation_alone(trust, document):
    trust.refresh("magika")
    before = trust.metadata_dir.resolve()

    trust.refresh("magika")

    assert trust.metadata_dir.resolve() == before


def test_a_bundle_that_no_release_role_vouches_for_is_refused(trust, repository):
    bundle = BundleRef(bundle_target(release(7), "fp32"), 3, "0" * 64)
    repository.publish_rollout(RolloutDocument("magika", 1, stable=offer(7, bundle)))

    with pytest.raises(UntrustedError, match="no release role vouches"):
        trust.refresh("magika")
    assert trust.accepted("magika") is None


@pytest.mark.parametrize(
    "change", [{"sha256": "0" * 64}, {"length_bytes": 4}], ids=["hash", "length"]
)
def test_a_bundle_that_differs_from_the_vouched_one_is_refused(
    trust, repository, change
):
    bundle = replace(repository.publish_bundle(release(1), b"one"), **change)
    repository.publish_rollout(RolloutDocument("magika", 1, stable=offer(1, bundle)))

    with pytest.raises(UntrustedError, match="the rollout names"):
        trust.refresh("magika")


def test_a_bundle_vouched_for_as_another_release_is_refused(trust, repository):
    bundle = repository.publish_bundle(release(1), b"one")
    target = repository.signed["release-magika"].targets[bundle.target]
    target.unrecognized_fields["custom"] = {"release": "magika@2", "variant": "fp32"}
    repository.publish("release-magika")
    repository.publish_rollout(RolloutDocument("magika", 1, stable=offer(1, bundle)))

    with pytest.raises(UntrustedError, match="as magika@2"):
        trust.refresh("magika")


def test_the_rollout_role_cannot_vouch_for_bundles(trust, repository):
    bundle = repository.publish_bundle(release(1), b"one")
    path = bundle.target
    target = repository.signed["release-magika"].targets.pop(path)
    repository.publish("release-magika")
    repository.signed["rollouts"].targets[path] = target
    repository.publish_rollout(RolloutDocument("magika", 1, stable=offer(1, bundle)))

    with pytest.raises(UntrustedError, match="no release role vouches"):
        trust.refresh("magika")


def test_a_timestamp_rolled_back_is_refused_and_the_truth_kept(
    trust, document, repository
):
    old = (repository.folder / "metadata" / "timestamp.json").read_bytes()
    repository.publish_rollout(replace(document, sequence=4))
    trust.refresh("magika")
    (repository.folder / "metadata" / "timestamp.json").write_bytes(old)

    with pytest.raises(UntrustedError, match="not to be trusted"):
        trust.refresh("magika")
    assert trust.accepted("magika").sequence == 4


def test_a_document_signed_anew_with_an_older_sequence_is_refused(
    trust, document, repository
):
    trust.refresh("magika")
    repository.publish_rollout(replace(document, sequence=2))

    with pytest.raises(UntrustedError, match="sequence 3 was accepted, 2 came"):
        trust.refresh("magika")
    assert trust.accepted("magika") == document


def test_a_document_that_brings_a_withdrawn_release_back_is_refused(
    trust, document, repository
):
    withdrawn = replace(document, sequence=4, stable=None, withdrawn=(release(1),))
    repository.publish_rollout(withdrawn)
    trust.refresh("magika")

    repository.publish_rollout(replace(document, sequence=5))
    with pytest.raises(UntrustedError, match="magika@1 was withdrawn for ever"):
        trust.refresh("magika")
    repository.publish_rollout(replace(withdrawn, sequence=6, withdrawn=()))
    with pytest.raises(UntrustedError, match="magika@1 was withdrawn for ever"):
        trust.refresh("magika")

    assert trust.accepted("magika") == withdrawn


def test_a_thief_of_the_rollout_key_binds_nobody_once_the_key_is_replaced(
    trust, document, repository
):
    trust.refresh("magika")
    far = replace(document, sequence=2**53 - 1, stable=None, withdrawn=(release(1),))
    repository.publish_rollout(far)
    assert trust.refresh("magika").document == far

    repository.rotate_delegated("rollouts")
    mended = replace(document, sequence=4)
    repository.publish_rollout(mended)

    assert trust.refresh("magika").document == mended
    repository.publish_rollout(replace(document, sequence=3))
    with pytest.raises(UntrustedError, match="sequence 4 was accepted, 3 came"):
        trust.refresh("magika")


def test_metadata_that_nests_deeply_is_refused(trust, document, repository):
    path = repository.folder / "metadata" / "timestamp.json"
    path.write_bytes(b"[" * 8_000)

    with pytest.raises(UntrustedError, match="not to be trusted"):
        trust.refresh("magika")


def test_an_expired_timestamp_is_refused(trust, document, repository):
    repository.refresh_timestamp(expires=datetime.now(UTC) - timedelta(hours=1))

    with pytest.raises(UntrustedError, match="expired"):
        trust.refresh("magika")


def test_a_root_rotation_is_followed_and_never_forgotten(
    trust, document, repository, server
):
    trust.refresh("magika")
    repository.rotate("timestamp")
    repository.refresh_timestamp()
    trust.refresh("magika")
    repository.refresh_timestamp()
    server.requests.clear()

    trust.refresh("magika")

    asked = [path for path, _ in server.requests]
    assert asked == ["/metadata/timestamp.json", "/metadata/3.root.json"]


def test_metadata_signed_by_a_stranger_is_refused(trust, document, repository):
    stranger = repository.signers["rollouts"]
    repository.signed["timestamp"].version += 1
    repository.write("timestamp", signers=[stranger])

    with pytest.raises(UntrustedError):
        trust.refresh("magika")


def test_a_repository_that_is_away_is_no_distrust(trust, document, server):
    trust.refresh("magika")
    server.faults.status = 503

    with pytest.raises(UnavailableError):
        trust.refresh("magika")


def test_endless_metadata_is_cut_off(trust, document, repository):
    path = repository.folder / "metadata" / "timestamp.json"
    path.write_bytes(path.read_bytes() + b" " * 20_000)

    with pytest.raises(UnavailableError):
        trust.refresh("magika")


@pytest.mark.parametrize("lost", ["root.json", "timestamp.json", "root_history"])
def test_lost_metadata_never_keeps_the_gateway_from_starting(trust, document, lost):
    trust.refresh("magika")
    path = trust.metadata_dir / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    assert trust.refresh("magika").document == document


def test_an_agent_killed_while_it_wrote_a_generation_starts_from_the_last(
    trust, document
):
    trust.refresh("magika")
    (trust.state_dir / "trust" / "2").mkdir()
    (trust.state_dir / "trust" / "2" / "timestamp.json").write_bytes(b"half")
    (trust.state_dir / "trust" / "scratch").mkdir()
    (trust.state_dir / "trust" / "scratch" / "snapshot.json").write_bytes(b"")

    assert trust.refresh("magika").document == document
    assert trust.metadata_dir.resolve().name == "1"


def test_credentials_are_asked_for_at_every_request(state_dir, server, repository):
    asked = []

    class Asked(NoCredentials):
        def headers(self, url):
            asked.append(url)
            return {"Authorization": "Bearer token"}

    trust = Trust(state_dir, server.url, repository.root_bytes, Web(Asked()))
    with pytest.raises(UntrustedError, match="no role vouches for a rollout"):
        trust.refresh("magika")
    assert len(asked) == len(server.requests)


def test_a_disk_that_stays_full_is_not_filled_with_generations_cut_short(
    trust, document, repository
):
    trust.refresh("magika")
    for number in range(2, 9):
        left = trust.state_dir / "trust" / str(number)
        left.mkdir()
        (left / "timestamp.json").write_bytes(b"half")
    repository.refresh_timestamp()

    trust.refresh("magika")

    kept = [path.name for path in (trust.state_dir / "trust").iterdir()]
    assert kept == [trust.metadata_dir.resolve().name]


REFRESH = """
import sys
from pathlib import Path
from edge_runtime.agent.trust.trust import Trust
from edge_runtime.agent.network.web import Web
state_dir, url, root_file = sys.argv[1:]
sys.modules["google.cloud.kms"] = None
Trust(Path(state_dir), url, Path(root_file).read_bytes(), Web()).refresh("magika")
"""


@pytest.mark.parametrize("step", [1, 10, 21, 33])
def test_an_agent_killed_at_a_durable_step_is_succeeded_by_one_that_goes_on(
    state_dir, document, repository, server, tmp_path, trust, step
):
    """Every step has its turn in `tests/crash`; these are a few of two refreshes."""
    root_file = tmp_path / "root.json"
    root_file.write_bytes(repository.root_bytes)
    command = [sys.executable, "-c", REFRESH, state_dir, server.url, root_file]
    environment = watched(os.environ, state_dir, fault=fault_text("kill", step))
    for _ in range(2):
        ended = subprocess.run(command, env=environment, check=False)
        assert ended.returncode in {0, -signal.SIGKILL}
        repository.refresh_timestamp()

    assert trust.accepted("magika") in (None, document)
    assert trust.refresh("magika").document == document
