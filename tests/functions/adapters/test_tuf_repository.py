"""The signed repository, read back by the client that gateways use."""

import hashlib
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.cloud import storage
from securesystemslib.exceptions import KeyMismatchError
from securesystemslib.signer import Signer
from tuf.api.exceptions import ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, Root

from functions.adapters import tuf_writer
from functions.adapters.storage import ObjectStore
from functions.adapters.tuf_repository import TufRepository
from functions.errors import (
    ReleaseRefusedError,
    RolloutError,
    SettingsError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from functions.release.metadata import TIMESTAMP_OBJECT, target_object
from packhorse.assignment import (
    BundleRef,
    Offer,
    RolloutDocument,
    bundle_target,
    encode_rollout,
)
from packhorse.names import Release


def now():
    return datetime.now(UTC)


@pytest.fixture
def repository(published_bucket, store, key_uris):
    return TufRepository(store, key_uris, now=now)


@pytest.fixture
def bundle(store):
    """Put a bundle into the bucket, and say where it is."""

    def put(release, body=b"bundle", variant="fp32"):
        digest = hashlib.sha256(body).hexdigest()
        target = bundle_target(release, variant)
        store.write_once(
            target_object(target, digest),
            body,
            length_bytes=len(body),
            content_type="application/x-tar",
            cache_control="no-store",
        )
        return BundleRef(target, len(body), digest)

    return put


class Dying:
    """A store whose process is killed just before a write."""

    def __init__(self, store, dies_at):
        self._store = store
        self._dies_at = dies_at

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def call(*args, **options):
            if name.startswith("write") and self._dies_at in args[0]:
                raise KeyboardInterrupt
            return method(*args, **options)

        return call


class LosingReplies:
    """A store whose conditional writes succeed while their replies are lost."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def write_if_generation(self, *args):
        self._store.write_if_generation(*args)
        raise UpstreamUnavailableError("the reply was lost")


class AlwaysLate:
    """A store in which another writer always comes first."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def write_if_generation(self, *_):
        return False


def document(sequence=1, model="digits", **options):
    return encode_rollout(RolloutDocument(model, sequence, **options))


def sign_as_root(root, uri):
    """Add the signature of one root key to those of the others."""
    for keyid in root.signed.roles["root"].keyids:
        with suppress(KeyMismatchError):
            signer = Signer.from_priv_key_uri(uri, root.signed.get_key(keyid))
            root.sign(signer, append=True)


def download(updater, path):
    target = updater.get_targetinfo(path)
    assert target is not None
    return Path(updater.download_target(target)).read_bytes()


def versions(store):
    """Return the version of each role that a gateway would use."""
    timestamp = Metadata.from_bytes(store.read(TIMESTAMP_OBJECT, 10_000)).signed
    name = f"metadata/{timestamp.snapshot_meta.version}.snapshot.json"
    snapshot = Metadata.from_bytes(store.read(name, 10_000)).signed
    found = {role: meta.version for role, meta in snapshot.meta.items()}
    return found | {"timestamp": timestamp.version, "snapshot": snapshot.version}


def test_a_published_release_is_found_and_downloaded(repository, bundle, gateway):
    release = Release("digits", 2)
    assert repository.publish_release(release, {"fp32": bundle(release, b"content")})

    updater = gateway()
    assert download(updater, "bundles/digits/2/fp32.tar") == b"content"
    target = updater.get_targetinfo("bundles/digits/2/fp32.tar")
    assert target.custom == {"release": "digits@2", "variant": "fp32"}


def test_all_variants_are_published_at_once(repository, bundle, gateway, store):
    release = Release("digits", 2)
    variants = {
        name: bundle(release, name.encode(), name) for name in ("fp32", "int8-arm64")
    }
    repository.publish_release(release, variants)

    assert download(gateway(), "bundles/digits/2/int8-arm64.tar") == b"int8-arm64"
    assert versions(store)["timestamp"] == 2


def test_publishing_again_changes_nothing(repository, bundle, store):
    release = Release("digits", 2)
    bundles = {"fp32": bundle(release)}
    assert repository.publish_release(release, bundles)
    before = store.read(TIMESTAMP_OBJECT, 10_000)

    assert not repository.publish_release(release, bundles)
    assert store.read(TIMESTAMP_OBJECT, 10_000) == before


def test_a_release_is_never_published_with_another_content(repository, bundle):
    release = Release("digits", 2)
    repository.publish_release(release, {"fp32": bundle(release, b"one")})
    with pytest.raises(ReleaseRefusedError, match="a release never changes"):
        repository.publish_release(release, {"fp32": bundle(release, b"two")})


def test_a_model_that_no_role_vouches_for_is_refused(repository, bundle):
    release = Release("stranger", 1)
    with pytest.raises(ReleaseRefusedError, match="no role release-stranger"):
        repository.publish_release(release, {"fp32": bundle(release)})


def test_a_rollout_document_replaces_the_one_before(repository, gateway):
    assert repository.publish_rollout("digits", document(1))
    assert repository.publish_rollout("digits", document(2, is_held=True))

    updater = gateway()
    assert download(updater, "rollouts/digits.json") == document(2, is_held=True)
    assert updater.get_targetinfo("rollouts/digits.json").custom == {"sequence": 2}


def test_an_older_rollout_document_never_comes_back(repository, gateway):
    repository.publish_rollout("digits", document(5))

    assert not repository.publish_rollout("digits", document(4))
    assert not repository.publish_rollout("digits", document(5))
    assert download(gateway(), "rollouts/digits.json") == document(5)


def test_two_documents_of_one_sequence_are_an_error(repository):
    repository.publish_rollout("digits", document(1))
    with pytest.raises(RolloutError, match="the sequence 1 is published"):
        repository.publish_rollout("digits", document(1, is_held=True))


def test_a_document_of_another_model_is_an_error(repository):
    with pytest.raises(RolloutError, match="of digits is of magika"):
        repository.publish_rollout("digits", document(1, model="magika"))


def test_documents_of_two_models_stand_side_by_side(repository, gateway):
    repository.publish_rollout("digits", document(1))
    repository.publish_rollout("magika", document(1, model="magika"))

    assert download(gateway(), "rollouts/digits.json") == document(1)
    assert download(gateway(), "rollouts/magika.json") == document(1, model="magika")


@pytest.mark.parametrize("dies_at", ["release-digits", "snapshot", "timestamp"])
def test_a_crash_leaves_a_whole_repository_and_an_orphan_that_is_skipped(
    dies_at, store, key_uris, bundle, gateway
):
    repository = TufRepository(store, key_uris, now=now)
    first, second = Release("digits", 1), Release("digits", 2)
    repository.publish_release(first, {"fp32": bundle(first, b"1")})
    dying = TufRepository(Dying(store, dies_at), key_uris, now=now)
    with pytest.raises(KeyboardInterrupt):
        dying.publish_release(second, {"fp32": bundle(second, b"2")})

    assert gateway().get_targetinfo("bundles/digits/2/fp32.tar") is None
    assert repository.publish_release(second, {"fp32": bundle(second, b"2")})
    assert download(gateway(), "bundles/digits/2/fp32.tar") == b"2"
    assert download(gateway(), "bundles/digits/1/fp32.tar") == b"1"


def test_an_orphan_is_never_overwritten(store, repository, key_uris, bundle):
    release = Release("digits", 1)
    dying = TufRepository(Dying(store, "timestamp"), key_uris, now=now)
    with pytest.raises(KeyboardInterrupt):
        dying.publish_release(release, {"fp32": bundle(release)})
    orphan = store.read("metadata/2.release-digits.json", 10_000)
    repository.publish_release(release, {"fp32": bundle(release)})

    assert store.read("metadata/2.release-digits.json", 10_000) == orphan
    assert versions(store)["release-digits.json"] == 3


def test_a_lost_reply_is_found_out_at_the_next_attempt(
    store, repository, key_uris, bundle, gateway
):
    release = Release("digits", 1)
    bundles = {"fp32": bundle(release, b"content")}
    losing = TufRepository(LosingReplies(store), key_uris, now=now)
    with pytest.raises(UpstreamUnavailableError):
        losing.publish_release(release, bundles)

    assert not repository.publish_release(release, bundles)
    assert download(gateway(), "bundles/digits/1/fp32.tar") == b"content"


def test_publications_at_the_same_time_never_lose_one(
    published_bucket, key_uris, bundle, gateway, store
):
    releases = [Release(m, v) for m in ("digits", "magika") for v in (1, 2)]
    bundles = {r: {"fp32": bundle(r, str(r).encode())} for r in releases}
    failures = []

    def run(task):
        with storage.Client(project="demo") as client:
            mine = ObjectStore(published_bucket, client=client)
            try:
                task(TufRepository(mine, key_uris, now=now))
            except Exception as error:  # noqa: BLE001 - shown by the test
                failures.append(error)

    tasks = [lambda repo, r=r: repo.publish_release(r, bundles[r]) for r in releases]
    tasks += [lambda repo: repo.publish_rollout("digits", document(1))]
    tasks += [lambda repo: repo.refresh_timestamp()]
    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        gateway().refresh()  # readers at any moment see a whole repository
    for thread in threads:
        thread.join()

    assert not failures
    for release in releases:
        target = bundle_target(release, "fp32")
        assert download(gateway(), target) == str(release).encode()
    assert download(gateway(), "rollouts/digits.json") == document(1)


def test_the_timestamp_is_refreshed_before_it_expires(
    published_bucket, store, key_uris, gateway
):
    later = now() + timedelta(days=3)
    TufRepository(store, key_uris, now=lambda: later).refresh_timestamp()

    updater = gateway()
    updater.refresh()
    timestamp = Metadata.from_bytes(store.read(TIMESTAMP_OBJECT, 10_000)).signed
    assert timestamp.version == 2
    assert timestamp.expires > later
    assert versions(store)["snapshot"] == 1


def test_an_old_snapshot_is_refreshed_with_the_timestamp(
    published_bucket, store, key_uris
):
    later = now() + timedelta(days=20)
    TufRepository(store, key_uris, now=lambda: later).refresh_timestamp()
    assert versions(store)["snapshot"] == 2


def test_an_expired_timestamp_is_mended_by_a_refresh(
    published_bucket, store, key_uris, gateway
):
    past = now() - timedelta(days=2)
    TufRepository(store, key_uris, now=lambda: past).refresh_timestamp()
    with pytest.raises(ExpiredMetadataError):
        gateway().refresh()

    TufRepository(store, key_uris, now=now).refresh_timestamp()
    gateway().refresh()


def test_the_key_of_another_role_signs_nothing(published_bucket, store, key_uris):
    mixed = key_uris | {"rollouts": key_uris["timestamp"]}
    with pytest.raises(SettingsError, match="none of the role's keys"):
        TufRepository(store, mixed, now=now).publish_rollout("digits", document(1))


def test_a_function_without_the_key_says_which(published_bucket, store, key_uris):
    del key_uris["rollouts"]
    with pytest.raises(
        SettingsError, match="no setting names a key for the role rollouts"
    ):
        TufRepository(store, key_uris, now=now).publish_rollout("digits", document(1))


@pytest.mark.parametrize("uri", ["file2:/nowhere.pem", "unknown:x", "nonsense"])
def test_a_key_that_cannot_be_had_is_an_error_of_the_settings(
    published_bucket, store, key_uris, uri
):
    broken = key_uris | {"rollouts": uri}
    with pytest.raises(SettingsError, match="cannot be used"):
        TufRepository(store, broken, now=now).publish_rollout("digits", document(1))


def test_an_empty_bucket_says_what_is_missing(store, key_uris):
    with pytest.raises(UpstreamRefusedError, match="packhorse keys init"):
        TufRepository(store, key_uris, now=now).publish_rollout("digits", document(1))


@pytest.mark.parametrize("role", ["1.targets", "1.snapshot", "1.rollouts", "1.root"])
def test_nothing_is_built_on_metadata_that_was_tampered_with(
    role, published_bucket, store, key_uris
):
    name = f"metadata/{role}.json"
    body, generation = store.read_with_generation(name, 100_000)
    changed = body.replace(b"2027-", b"2099-").replace(b"2026-12", b"2099-12")
    assert changed != body
    store.write_if_generation(name, changed, generation)

    with pytest.raises(UpstreamRefusedError, match="a person must look"):
        TufRepository(store, key_uris, now=now).publish_rollout("digits", document(1))


def test_metadata_that_is_missing_is_no_reason_to_start_anew(
    storage_url, published_bucket, key_uris
):
    with storage.Client(project="demo") as client:
        client.bucket(published_bucket).delete_blob("metadata/1.snapshot.json")
        store = ObjectStore(published_bucket, client=client)
        with pytest.raises(UpstreamRefusedError, match=r"snapshot\.json is missing"):
            TufRepository(store, key_uris, now=now).publish_rollout(
                "digits", document(1)
            )


def test_a_stolen_rollouts_key_cannot_vouch_for_a_bundle(
    store, key_uris, bundle, gateway, published_bucket
):
    release = Release("digits", 9)
    ref = bundle(release, b"injected")
    thief = TufRepository(
        store, key_uris | {"release-digits": key_uris["rollouts"]}, now=now
    )
    with pytest.raises(SettingsError):
        thief.publish_release(release, {"fp32": ref})
    assert gateway().get_targetinfo(ref.target) is None


def test_an_offer_in_a_document_survives_the_way(repository, bundle, gateway):
    release = Release("digits", 1)
    offer = Offer(release, {"fp32": bundle(release)})
    body = document(3, stable=offer)
    repository.publish_rollout("digits", body)
    assert download(gateway(), "rollouts/digits.json") == body


def test_a_bundle_that_was_exchanged_is_refused_by_the_gateway(
    repository, bundle, gateway, store
):
    release = Release("digits", 2)
    ref = bundle(release, b"content")
    repository.publish_release(release, {"fp32": ref})
    name = target_object(ref.target, ref.sha256)
    _, generation = store.read_with_generation(name, 100)
    store.write_if_generation(name, b"c0ntent", generation)

    updater = gateway()
    with pytest.raises(RepositoryError):
        download(updater, ref.target)


def test_a_publication_that_always_comes_late_asks_to_come_back(
    published_bucket, store, key_uris
):
    late = TufRepository(AlwaysLate(store), key_uris, now=now)
    with pytest.raises(UpstreamUnavailableError, match="other publications came first"):
        late.publish_rollout("digits", document(1))
    assert late.refresh_timestamp()


def test_versions_are_not_tried_for_ever(repository, store, key_uris, monkeypatch):
    dying = TufRepository(Dying(store, "timestamp"), key_uris, now=now)
    with pytest.raises(KeyboardInterrupt):
        dying.publish_rollout("digits", document(1))
    monkeypatch.setattr(tuf_writer, "ORPHANS_MAX", 1)
    with pytest.raises(UpstreamUnavailableError, match="are orphans"):
        repository.publish_rollout("digits", document(1))


def test_a_bucket_without_a_root_says_so(repository, published_bucket):
    with storage.Client(project="demo") as client:
        client.bucket(published_bucket).delete_blob("metadata/1.root.json")
    with pytest.raises(UpstreamRefusedError, match=r"1\.root\.json is missing"):
        repository.refresh_timestamp()


def test_a_new_root_is_followed(repository, store, first_trust):
    """A key ceremony writes the next root; functions find it by themselves."""
    repository.refresh_timestamp()
    root = Metadata[Root].from_bytes(store.read("metadata/1.root.json", 100_000))
    root.signed.version = 2
    root.signatures.clear()
    for number in (1, 2):
        uri = f"file2:{first_trust[0]}/root-{number}.pem"
        sign_as_root(root, uri)
    assert store.write_if_generation("metadata/2.root.json", root.to_bytes(), 0)
    repository.refresh_timestamp()

    root.signatures.popitem()
    root.signed.version = 3
    assert store.write_if_generation("metadata/3.root.json", root.to_bytes(), 0)
    with pytest.raises(UpstreamRefusedError, match=r"3\.root\.json is not signed"):
        repository.refresh_timestamp()
