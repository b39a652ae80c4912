"""The steps that bring a release to its candidate endpoint, and begin its rollout."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from google.cloud import storage

from functions.release.metadata import target_object
from functions.release.records import ReleaseState
from packhorse.names import Release
from tests.functions.conftest import AUDIENCE, PUSHER
from tests.functions.signed_bucket import upload
from tests.functions.vertex_stand_in import CANDIDATE, doubling_bundle

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def step(client_of, identity, vertex, topics, bucket, ledger, workflows, monkeypatch):
    """Call a deploy function as the workflow does."""
    monkeypatch.setenv("BUNDLE_BUCKET", bucket)
    token = identity.token(AUDIENCE, PUSHER)

    def call(name, **body):
        headers = {"Authorization": f"Bearer {token}"}
        return client_of(name).post("/", json=body, headers=headers)

    return call


@pytest.fixture
def published(ledger, store):
    """Bring a release to where the workflow takes over."""

    def publish(version):
        release = Release("magika", version)
        body, bundle = doubling_bundle(release)
        upload(store, target_object(bundle.target, bundle.sha256), body)
        digest = f"sha256:{version:064x}"
        ledger.register_release(
            release, digest=digest, card={}, variants=["fp32"], at=NOW
        )
        ledger.variant_packaged(release, "fp32", bundle, NOW)
        ledger.published(release, at=NOW)
        return str(release)

    return publish


def until_done(step, name, release):
    until(lambda: step(name, release=release).json["done"])


def until(is_so):
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def deploy(step, release):
    until_done(step, "deploy_upload", release)
    until_done(step, "deploy_candidate", release)


def test_the_first_execution_claims_a_release_and_keeps_it(step, published, workflows):
    release = published(1)
    workflows.states["a"] = "ACTIVE"

    first = step("deploy_claim", release=release, execution="a")
    second = step("deploy_claim", release=release, execution="b")
    again = step("deploy_claim", release=release, execution="a")

    claims = [reply.json["claimed"] for reply in (first, second, again)]
    assert claims == [True, False, True]


def test_the_next_execution_goes_on_where_the_first_one_failed(
    step, published, workflows
):
    release = published(1)
    workflows.states["a"] = "FAILED"
    step("deploy_claim", release=release, execution="a")

    second = step("deploy_claim", release=release, execution="b")
    workflows.states["b"] = "ACTIVE"
    third = step("deploy_claim", release=release, execution="c")

    assert second.json["claimed"]
    assert not third.json["claimed"]


def test_a_release_whose_rollout_began_is_not_claimed_again(
    step, published, ledger, workflows
):
    release = published(1)
    workflows.states["a"] = "FAILED"
    step("deploy_claim", release=release, execution="a")
    ledger.deployed(Release("magika", 1), at=NOW)
    step("deploy_open", release=release)

    late = step("deploy_claim", release=release, execution="b")

    assert not late.json["claimed"]


def test_a_release_whose_container_never_becomes_ready_is_refused(
    step, published, ledger
):
    release = published(7)
    until_done(step, "deploy_upload", release)

    until(lambda: step("deploy_candidate", release=release).status_code == 409)

    record = ledger.release(Release("magika", 7))
    assert record.state is ReleaseState.REFUSED
    assert "deploy_candidate was tried 2 times" in record.reason
    assert "FAILED_PRECONDITION" in record.reason


def test_a_release_goes_the_whole_way_and_its_rollout_begins(
    step, published, ledger, topics
):
    release = published(1)

    deploy(step, release)
    parity = step("deploy_parity", release=release).json
    opened = step("deploy_open", release=release).json
    again = step("deploy_open", release=release).json

    assert parity["agrees"]
    assert parity["largest_difference"] == {"y": 0.0}
    assert (opened["opened"], again["opened"]) == (True, False)
    assert ledger.rollout("magika").candidate.release == Release("magika", 1)
    assert topics.read_json("advance") == [{"model": "magika"}]


def test_the_next_release_stands_alone_on_the_candidate_endpoint(
    step, published, vertex
):
    one, two = published(1), published(2)
    deploy(step, one)

    deploy(step, two)

    shown = vertex.get(CANDIDATE)
    (deployed,) = shown["deployedModels"]
    assert deployed["displayName"] == "magika@2"
    assert shown["trafficSplit"] == {deployed["id"]: 100}


@pytest.mark.parametrize(
    ("version", "reason"),
    [(9, "output 'y' differs by"), (8, "sample 0 is refused by the model itself")],
)
def test_a_release_that_answers_wrongly_is_refused_with_a_sentence(
    step, published, ledger, version, reason
):
    release = published(version)
    deploy(step, release)

    parity = step("deploy_parity", release=release).json

    assert not parity["agrees"]
    assert reason in parity["reason"]
    record = ledger.release(Release("magika", version))
    assert record.state is ReleaseState.REFUSED
    assert reason in record.reason
    assert not step("deploy_parity", release=release).json["agrees"]
    assert step("deploy_open", release=release).status_code == 409


def test_parity_with_a_bundle_that_is_not_the_published_one_is_not_measured(
    step, published, store, ledger
):
    release = published(1)
    deploy(step, release)
    bundle = ledger.release(Release("magika", 1)).variants["fp32"]
    body, _ = doubling_bundle(Release("magika", 1))
    _overwrite(store, bundle, body.replace(b"never opened", b"never seen !"))

    reply = step("deploy_parity", release=release)

    assert reply.status_code in {400, 403}
    assert ledger.release(Release("magika", 1)).state is ReleaseState.PUBLISHED


def test_a_release_that_nobody_pushed_has_no_steps(step):
    assert step("deploy_upload", release="magika@7").status_code == 404
    assert step("deploy_parity", release="magika@7").status_code == 404


def test_a_step_without_a_token_is_refused(client_of, step):
    reply = client_of("deploy_open").post("/", json={"release": "magika@1"})

    assert reply.status_code == 401


def test_a_step_that_names_more_than_it_should_is_refused(step, published):
    reply = step("deploy_open", release=published(1), force=True)

    assert reply.status_code == 400
    assert "force" in reply.json["error"]


def test_a_model_without_endpoints_is_a_fault_of_the_settings(
    step, published, monkeypatch
):
    named = {"candidate": CANDIDATE, "serving": CANDIDATE}
    monkeypatch.setenv("MODEL_ENDPOINTS", json.dumps({"other": named}))

    assert step("deploy_candidate", release=published(1)).status_code == 500


def test_a_release_without_the_served_variant_is_not_uploaded(step, ledger):
    ledger.register_release(
        Release("magika", 1), digest="sha256:0", card={}, variants=["int8"], at=NOW
    )
    _, bundle = doubling_bundle(Release("magika", 1))
    int8 = replace(bundle, target=bundle.target.replace("fp32", "int8"))
    ledger.variant_packaged(Release("magika", 1), "int8", int8, NOW)

    reply = step("deploy_upload", release="magika@1")

    assert reply.status_code == 409
    assert "fp32" in reply.json["error"]


def test_a_bundle_that_is_gone_leaves_the_release_undecided(step, published, bucket):
    release = published(1)
    with storage.Client(project="demo") as client:
        for blob in client.list_blobs(bucket):
            blob.delete()

    assert step("deploy_parity", release=release).status_code == 404


def _overwrite(store, bundle, body):
    name = target_object(bundle.target, bundle.sha256)
    _, generation = store.read_with_generation(name, 10**6)
    assert store.write_if_generation(name, body, generation)
