"""From a pushed model to a bundle in the bucket, or to a reason why not."""

import io
import json
from contextlib import ExitStack, closing
from datetime import UTC, datetime

import numpy as np
import pytest
from google.cloud import storage
from onnx import numpy_helper

from functions import topics as names
from functions import wiring
from functions.adapters import onnx_checker
from functions.adapters.ledger import Ledger
from functions.release.metadata import target_object
from functions.release.records import ReleaseState
from packhorse.bundle import BUNDLE_MAX_BYTES, read_bundle
from packhorse.golden import read_golden
from packhorse.names import Release
from packhorse.shadow_limits import ShadowLimits
from packhorse.tolerance import Tolerance
from tests.functions import pushes

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def registered(registry, topics, ledger, bucket, monkeypatch):
    """Push a model and register it, as the stage before does."""
    monkeypatch.setenv("BUNDLE_BUCKET", bucket)
    monkeypatch.setenv("MODEL_REPOSITORY", pushes.REPOSITORY)
    monkeypatch.setenv("REGISTRY_ENDPOINT", registry[0])

    def register(content, version=1, *, variants=("fp32",), **options):
        release = Release("digits", version)
        digest = pushes.push(registry[0], content, release=release, **options)
        ledger.register_release(
            release, digest=digest, card={}, variants=variants, at=NOW
        )
        return release

    return register


@pytest.fixture
def package(push):
    def call(release, variant="fp32"):
        body = {"release": str(release), "variant": variant}
        return push("package_bundle", json.dumps(body).encode())

    return call


@pytest.fixture
def forget(ledger_url, monkeypatch):
    """Put an empty ledger in the place of the one that was written."""
    with ExitStack() as stack:

        def run():
            url = f"{ledger_url}.forgetful"
            monkeypatch.setenv("LEDGER_URL", url)
            wiring.ledger.cache_clear()
            return stack.enter_context(closing(Ledger(url)))

        yield run


def read(store, bundle):
    """Return a bundle's manifest, and its members by name."""
    body = store.read(target_object(bundle.target, bundle.sha256), 10_000_000)
    assert len(body) == bundle.length_bytes
    reader = read_bundle(io.BytesIO(body), limit_bytes=BUNDLE_MAX_BYTES)
    members = {m.name: b"".join(chunks) for m, chunks in reader.members()}
    return reader.manifest, members


def objects(bucket):
    with storage.Client(project="demo") as client:
        return sorted(blob.name for blob in client.list_blobs(bucket))


@pytest.fixture
def refused(package, ledger, bucket):
    """Package a release that must be refused, and return the reason."""

    def run(release, variant="fp32"):
        assert package(release, variant).status_code == 200
        record = ledger.release(release)
        assert record.state is ReleaseState.REFUSED
        assert objects(bucket) == []
        return record.reason

    return run


def test_a_pushed_model_becomes_a_bundle(registered, package, ledger, store, topics):
    content = pushes.files(
        pushes.model(initializers=[pushes.external()]),
        weights_bin=pushes.WEIGHTS.tobytes(),
    )
    limits = ShadowLimits(min_agreement=0.9)
    card = pushes.card(tolerances={"y": Tolerance(0.5, 0.0)}, shadow=limits)
    release = registered(content, model_card=card)
    assert package(release).status_code == 200

    record = ledger.release(release)
    manifest, members = read(store, record.variants["fp32"])
    assert members == content
    assert manifest.release == release
    assert manifest.source_digest == record.digest
    assert manifest.tolerances == {"y": Tolerance(0.5, 0.0)}
    assert manifest.shadow == limits
    files = [member.name for member in manifest.members]
    assert files == ["model.onnx", "weights.bin", "golden.npz"]
    assert read_golden(io.BytesIO(members["golden.npz"])).count == 4
    assert record.state is ReleaseState.PACKAGED
    assert topics.read_json(names.PACKAGED) == [{"release": "digits@1"}]


def test_a_message_that_comes_twice_makes_one_bundle(
    registered, package, ledger, bucket, topics
):
    release = registered(pushes.files())
    package(release)
    before = ledger.release(release)
    assert package(release).status_code == 200

    assert ledger.release(release) == before
    assert len(objects(bucket)) == 1
    assert topics.read_json(names.PACKAGED) == [{"release": "digits@1"}]


def test_a_crash_before_the_ledger_knew_leaves_a_bundle_that_is_found_again(
    registered, package, ledger, bucket, forget
):
    release = registered(pushes.files())
    package(release)
    known = ledger.release(release)
    forgetful = forget()
    forgetful.register_release(
        release, digest=known.digest, card={}, variants=["fp32"], at=NOW
    )
    assert package(release).status_code == 200

    # The same files make the same bytes, so the same name.
    assert forgetful.release(release).variants == known.variants
    assert len(objects(bucket)) == 1


def test_the_release_is_packaged_with_its_last_variant_only(
    registered, package, ledger, topics
):
    release = registered(pushes.files(), variants=("fp32", "later"))
    package(release)
    assert ledger.release(release).state is ReleaseState.REGISTERED


def test_a_model_that_answers_nan_is_refused_with_a_sentence(registered, refused):
    nan = numpy_helper.from_array(np.full((3, 2), np.nan, np.float32), "w")
    release = registered(pushes.files(pushes.model(initializers=[nan])))
    reason = refused(release)
    assert reason == "golden sample 0: output 'y' is not finite (NaN or infinity)"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (pushes.files(b"no model"), "is no ONNX model"),
        (pushes.files(None, b"no archive"), "npz archive"),
        (pushes.files(None, pushes.pickled_npz()), "without Python objects"),
        (pushes.files(None, pushes.bomb_npz()), "may unpack to"),
        (
            pushes.files(pushes.model(initializers=[pushes.external("../../x")])),
            "none of the pushed files",
        ),
    ],
    ids=["no model", "no archive", "pickle", "bomb", "path"],
)
def test_hostile_files_are_refused(registered, refused, content, sentence):
    release = registered(content)
    reason = refused(release)
    assert sentence in reason


def test_a_refused_release_stays_refused(registered, refused):
    release = registered(pushes.files(b"no model"))
    assert refused(release) == refused(release)


def test_a_layer_that_was_tampered_with_is_refused(registry, registered, refused):
    made = pushes.model()
    made.doc_string = "tampered with"
    content = pushes.files(made)
    release = registered(content)
    pushes.tamper(registry[1], content["model.onnx"])

    reason = refused(release)
    assert "the registry was tampered with: layer model.onnx" in reason


def test_a_manifest_that_is_not_the_registered_one_is_asked_for_again(
    registry, registered, package, ledger
):
    release = registered(pushes.files(), version=77)
    digest = ledger.release(release).digest
    pushes.tamper_digest(registry[1], digest)
    assert package(release).status_code == 503
    assert ledger.release(release).state is ReleaseState.REGISTERED


def test_a_digest_of_another_version_is_refused(refused, registered, ledger):
    other = ledger.release(registered(pushes.files(), version=1)).digest
    release = Release("digits", 2)
    ledger.register_release(release, digest=other, card={}, variants=["fp32"], at=NOW)
    assert "is of digits@1, not of digits@2" in refused(release)


def test_a_push_longer_than_the_settings_allow_is_refused(
    registered, refused, monkeypatch
):
    monkeypatch.setenv("RELEASE_MAX_BYTES", "2000")
    release = registered(pushes.files(weights_bin=b"x" * 2000))
    reason = refused(release)
    assert "may have 2000 bytes here" in reason


def test_a_variant_that_cannot_be_made_is_refused(registered, refused):
    release = registered(pushes.files(), variants=("int4",))
    reason = refused(release, "int4")
    assert "'int4' cannot be made" in reason


def test_a_release_that_nobody_registered_is_acknowledged(registered, package):
    assert package(Release("digits", 99)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"release":"x","variant":"fp32"}',
        b'{"release":"digits@1","variant":"../x"}',
        b"\xff",
        b"x" * 5000,
    ],
)
def test_a_message_that_is_none_is_acknowledged(registered, push, body):
    assert push("package_bundle", body).status_code == 200


def test_a_registry_that_is_away_asks_for_the_message_again(
    registered, package, ledger, monkeypatch
):
    release = registered(pushes.files())
    monkeypatch.setenv("REGISTRY_ENDPOINT", "http://127.0.0.1:9")
    assert package(release).status_code == 503
    assert ledger.release(release).state is ReleaseState.REGISTERED


def test_a_bucket_that_is_away_asks_for_the_message_again(
    registered, package, ledger, monkeypatch
):
    release = registered(pushes.files())
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    assert package(release).status_code == 503
    assert ledger.release(release).state is ReleaseState.REGISTERED


def test_a_trial_without_time_asks_for_the_message_again(
    registered, package, ledger, monkeypatch
):
    release = registered(pushes.files())
    monkeypatch.setattr(onnx_checker, "WALL_LIMIT_S", 0.01)
    assert package(release).status_code == 503
    assert ledger.release(release).state is ReleaseState.REGISTERED
