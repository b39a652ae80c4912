"""Every ceremony of docs/operations.md, from the first word to what a gateway does."""

import json
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from tuf.api.metadata import Metadata

from functions.errors import (
    SettingsError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from packhorse.assignment import BundleRef, bundle_target
from packhorse.errors import UntrustedError
from packhorse.names import Release
from packhorse.signers import Signers
from tests.functions.adapters.test_tuf_repository import Dying
from tests.functions.ceremony import MODEL, Ceremony, packhorse
from tests.kms import KmsStandIn


@pytest.fixture
def ceremony(tmp_path, store, storage_url, bucket):
    return Ceremony(tmp_path, store, f"{storage_url}/{bucket}")


@pytest.fixture
def begun(ceremony):
    """A repository that a gateway follows already."""
    ceremony.begin()
    ceremony.roll_out()
    assert ceremony.sequence_at() == 1
    return ceremony


@pytest.fixture
def cloud_kms(tmp_path, monkeypatch):
    stand_in = KmsStandIn(tmp_path / "kms")
    monkeypatch.setenv("PACKHORSE_KMS_ENDPOINT", stand_in.url)
    monkeypatch.setenv("KMS_ENDPOINT", stand_in.url)
    yield stand_in
    stand_in.stop()


def bundle(model, version=1):
    release = Release(model, version)
    return release, {"fp32": BundleRef(bundle_target(release, "fp32"), 3, "0" * 64)}


def test_a_root_is_made_and_signed_by_people_on_different_machines(ceremony):
    ceremony.begin()

    for person in ("anna", "ben", "cleo", "dora", "emil"):
        private = [p for p in ceremony.folder.rglob("*.pem") if p.stem == person]
        assert [p.parent.name for p in private] == [person]
    ceremony.roll_out()
    assert ceremony.sequence_at() == 1


def test_a_root_key_is_exchanged_by_the_others(begun):
    """Anna leaves, Fred comes: two of the three old keys agree, and two of the new."""
    fred = begun.make_key("fred")
    root = begun.change(
        "root", "--remove-key", "root=anna", "--add-key", f"root={fred}"
    )
    begun.sign(root, "anna")  # she is one of the old three still
    said = begun.sign(root, "ben")
    assert "by the keys of root 1: 2 of 2 signatures (anna" in said
    assert "by the keys of root 2: 1 of 2 signatures (ben" in said
    assert "worth nothing yet" in said
    begun.sign(root, "fred")
    begun.upload(root)

    begun.roll_out()
    assert begun.sequence_at() == 2
    # And from here on Anna's signature counts for nothing.
    third = begun.change("root")
    said = begun.sign(third, "ben", "fred")
    assert "has every signature" in said
    assert "anna" not in said


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_a_stolen_online_key_is_replaced_at_once(begun, role):
    """What the old key signed last no longer verifies; the functions go on from it."""
    new = begun.make_online_key(f"{role}-2")
    root = begun.change("root", "--replace-key", f"{role}={new}")
    begun.sign(root, "ben", "cleo")
    begun.upload(root)
    with pytest.raises(UntrustedError):
        begun.gateway("another").refresh(MODEL)
    with pytest.raises(SettingsError, match="none of the role's keys"):
        begun.refresh()  # the setting still names the old key
    begun.uris[role] = new
    begun.refresh()

    assert begun.sequence_at() == 1
    begun.roll_out()
    assert begun.sequence_at() == 2
    assert begun.sequence_at("never seen before") == 2


def test_what_a_thief_signs_with_the_old_key_is_worth_nothing(begun):
    stolen = begun.uris["timestamp"]
    begun.uris["timestamp"] = new = begun.make_online_key("timestamp-2")
    root = begun.change("root", "--replace-key", f"timestamp={new}")
    begun.sign(root, "anna", "ben")
    begun.upload(root)
    begun.refresh()
    assert begun.sequence_at() == 1

    begun.uris["timestamp"] = stolen
    with pytest.raises(SettingsError):
        begun.refresh()


def test_an_online_key_is_exchanged_without_a_gap(begun):
    """Both keys are trusted for a while, so no gateway ever waits."""
    new = begun.make_online_key("timestamp-2")
    root = begun.change("root", "--add-key", f"timestamp={new}")
    begun.sign(root, "anna", "ben")
    begun.upload(root)
    assert begun.sequence_at() == 1
    begun.roll_out()
    begun.uris["timestamp"] = new
    begun.roll_out()
    assert begun.sequence_at() == 3

    root = begun.change("root", "--remove-key", "timestamp=timestamp")
    begun.sign(root, "ben", "cleo")
    begun.upload(root)
    assert begun.sequence_at() == 3
    begun.roll_out()
    assert begun.sequence_at() == 4


def test_a_gateway_that_slept_through_several_roots_follows_them_all(begun):
    for number in (2, 3, 4):
        new = begun.make_online_key(f"timestamp-{number}")
        root = begun.change("root", "--replace-key", f"timestamp={new}")
        begun.sign(root, "anna", "cleo")
        begun.upload(root)
        # Nothing is signed in between: the functions were away, too.
    begun.uris["timestamp"] = new
    begun.roll_out()
    assert begun.sequence_at() == 2
    assert begun.sequence_at("never seen before") == 2


def test_the_key_of_rollouts_is_replaced_and_its_documents_go_on(begun):
    new = begun.make_online_key("rollouts-2")
    targets = begun.change("targets", "--replace-key", f"rollouts={new}")
    begun.sign(targets, "dora", "emil")
    begun.upload(targets)
    # Who holds no key of the role waits, and keeps the repository fresh meanwhile.
    assert begun.refresh().waiting == ("rollouts",)
    begun.roll_out()  # the setting still names the old key: that counts still
    assert begun.sequence_at() == 2

    begun.uris["rollouts"] = new
    assert begun.function("rollouts").renew_roles() == []
    assert begun.refresh().waiting == ()
    assert begun.sequence_at() == 2
    begun.roll_out()
    assert begun.sequence_at() == 3


def test_another_model_is_delegated_and_released(begun):
    key = begun.make_online_key("release-digits")
    release, bundles = bundle("digits")
    begun.uris["release-digits"] = key
    targets = begun.change("targets", "--delegate", f"digits={key}")
    said = begun.sign(targets, "dora")
    assert "release-digits: new" in said
    assert "vouches for bundles/digits/*/*" in said
    begun.sign(targets, "emil")
    begun.upload(targets)
    with pytest.raises(UpstreamUnavailableError, match="release-digits is not there"):
        begun.function(f"release-{MODEL}").publish_release(release, bundles)

    assert begun.function("release-digits").publish_release(release, bundles)
    assert begun.sequence_at() == 1
    assert "release-digits 2 is valid" in packhorse("show", begun.copy_of_bucket())


def test_what_a_thief_of_a_release_key_had_signed_is_dropped(begun):
    """The operator prepares the role himself, without the bundle, and signs it."""
    role = f"release-{MODEL}"
    good, bad = bundle(MODEL, 1), bundle(MODEL, 9)
    begun.function(role).publish_release(*good)
    begun.function(role).publish_release(*bad)
    new = begun.make_online_key("release-2")

    targets = begun.change("targets", "--replace-key", f"{role}={new}")
    begun.sign(targets, "dora", "emil")
    cleaned = begun.change(f"role {role}", "--drop", bundle_target(bad[0], "fp32"))
    (cleaned.parent / targets.name).write_bytes(targets.read_bytes())
    said = begun.sign_online(cleaned, new)
    assert f"no longer vouches for bundles/{MODEL}/9/fp32.tar" in said
    begun.upload(cleaned, targets)

    assert begun.refresh().waiting == ()
    copy = begun.copy_of_bucket()
    last = Metadata.from_file(str(copy / cleaned.name)).signed
    assert list(last.targets) == [f"bundles/{MODEL}/1/fp32.tar"]
    assert begun.sequence_at() == 1
    begun.uris[role] = new
    assert begun.function(role).publish_release(*bundle(MODEL, 10))


def test_targets_keys_are_exchanged_without_a_gap(begun):
    """The next targets carry the signatures of both sets before the root changes."""
    fay, gil = begun.make_key("fay"), begun.make_key("gil")
    root = begun.change(
        "root", "--replace-key", f"targets={fay}", "--replace-key", f"targets={gil}"
    )
    begun.sign(root, "anna", "ben")
    targets = begun.change("targets")
    (targets.parent / root.name).write_bytes(root.read_bytes())
    said = begun.sign(targets, "dora", "emil", "fay", "gil")
    assert "by the keys of root 1: 2 of 2 signatures" in said
    assert "by the keys of root 2: 2 of 2 signatures" in said
    begun.upload(targets)
    begun.refresh()
    assert begun.sequence_at() == 1

    begun.upload(root)
    assert begun.sequence_at() == 1
    begun.roll_out()
    assert begun.sequence_at() == 2


def test_lost_targets_keys_are_replaced_by_the_root(begun):
    """Nobody can sign with the old set; the functions say what they wait for."""
    fay, gil = begun.make_key("fay"), begun.make_key("gil")
    root = begun.change(
        "root", "--replace-key", f"targets={fay}", "--replace-key", f"targets={gil}"
    )
    begun.sign(root, "anna", "ben")
    begun.upload(root)
    with pytest.raises(UpstreamRefusedError, match="upload targets 2 signed by them"):
        begun.refresh()

    targets = begun.change("targets")
    begun.sign(targets, "fay", "gil")
    begun.upload(targets)
    begun.refresh()
    assert begun.sequence_at() == 1
    assert begun.sequence_at("never seen before") == 1


def test_expiry_is_extended(begun):
    root = begun.change("root", "--days", "400")
    said = begun.sign(root, "anna", "cleo")
    assert "nothing but the dates changes" in said
    targets = begun.change("targets", "--days", "400")
    begun.sign(targets, "dora", "emil")
    begun.upload(root, targets)
    done = begun.refresh()

    late = datetime.now(UTC) + timedelta(days=399)
    assert done.root_expires > late
    assert done.targets_expires > late
    assert begun.sequence_at() == 1


def test_a_quiet_repository_renews_what_functions_sign(begun):
    """Nothing is published for most of a year."""
    roles = ("rollouts", f"release-{MODEL}")
    assert begun.function(*roles).renew_roles() == []
    late = datetime.now(UTC) + timedelta(days=200)
    assert begun.function(*roles, now=lambda: late).renew_roles() == list(roles)
    assert begun.function(*roles, now=lambda: late).renew_roles() == []

    shown = json.loads(packhorse("show", begun.copy_of_bucket(), "--json"))
    for role in roles:
        expires = datetime.fromisoformat(shown["metadata"][role]["expires"])
        assert expires > late + timedelta(days=300)
    assert begun.sequence_at() == 1


def test_targets_that_were_uploaded_half_signed_are_passed_over(begun):
    targets = begun.change("targets")
    begun.sign(targets, "dora")
    begun.upload(targets)

    assert begun.refresh().waiting == ()
    assert begun.sequence_at() == 1


def test_somebody_else_s_targets_are_passed_over(begun):
    targets = begun.change("targets")
    begun.sign(targets, "dora", "emil")
    metadata = Metadata.from_file(str(targets))
    metadata.signed.delegations.roles["rollouts"].threshold = 5
    begun.store.write_if_generation("metadata/2.targets.json", metadata.to_bytes(), 0)
    for number, body in ((3, b"{}"), (4, b""), (5, b"x" * 5_000_001)):
        begun.store.write_if_generation(f"metadata/{number}.targets.json", body, 0)

    begun.roll_out()
    assert begun.sequence_at() == 2


def test_a_number_that_was_spent_is_not_used_again(begun):
    half = begun.change("targets")
    begun.sign(half, "dora")
    begun.upload(half)
    whole = begun.change("targets", "--days", "30")
    assert whole.name == "3.targets.json"
    said = begun.sign(whole, "dora", "emil")
    assert "was until" in said
    begun.upload(whole)

    expires = begun.refresh().targets_expires
    assert expires < datetime.now(UTC) + timedelta(days=31)
    assert begun.sequence_at() == 1


def test_online_keys_lie_in_cloud_kms_and_are_replaced_there(ceremony, cloud_kms):
    signers = Signers(cloud_kms.url)
    ceremony.begin(cloud_kms.make_uri)
    ceremony.roll_out(signers=signers)
    assert ceremony.sequence_at() == 1

    # The root's keepers reach no network: the public half gets to them on the stick.
    uri, public = cloud_kms.make_uri("timestamp-2"), ceremony.stick / "timestamp-2.pub"
    packhorse("public", uri, "--out", public)
    root = ceremony.change("root", "--replace-key", f"timestamp={public}")
    ceremony.sign(root, "anna", "cleo")
    ceremony.upload(root)
    cloud_kms.disable(ceremony.uris["timestamp"].removeprefix("gcpkms:"))
    ceremony.uris["timestamp"] = uri
    ceremony.refresh(signers=signers)
    ceremony.roll_out(signers=signers)

    assert ceremony.sequence_at() == 2


def test_the_functions_sign_with_keys_in_cloud_kms(
    ceremony, cloud_kms, push, bucket, monkeypatch
):
    """The real entry points, led to Cloud KMS by nothing but their settings."""
    ceremony.begin(cloud_kms.make_uri)
    ceremony.roll_out(signers=Signers(cloud_kms.url))
    monkeypatch.setenv("BUNDLE_BUCKET", bucket)
    for role in ("snapshot", "timestamp"):
        monkeypatch.setenv(f"{role.upper()}_KEY_URI", ceremony.uris[role])

    assert push("refresh_timestamp", b"{}").status_code == 200
    assert ceremony.sequence_at() == 1
    cloud_kms.kill()
    assert push("refresh_timestamp", b"{}").status_code == 503
    cloud_kms.start()
    assert push("refresh_timestamp", b"{}").status_code == 200
    cloud_kms.disable(ceremony.uris["timestamp"].removeprefix("gcpkms:"))
    assert push("refresh_timestamp", b"{}").status_code == 502


def test_a_person_s_key_may_lie_in_cloud_kms_too(ceremony, cloud_kms):
    uri = cloud_kms.make_uri("cleo")
    ceremony.make_key = lambda person: (
        uri if person == "cleo" else Ceremony.make_key(ceremony, person)
    )
    people = Ceremony.sign

    def sign(file, *who):
        found = [each for each in who if each != "cleo"]
        return people(ceremony, file, *found)

    ceremony.sign = sign
    ceremony.begin()  # `keys init` signs with what it is given by URI
    ceremony.roll_out()
    assert ceremony.sequence_at() == 1


def test_the_schedule_renews_roles_and_follows_keyholders(
    begun, push, bucket, ledger, topics, workflows, monkeypatch
):
    key = begun.make_online_key("release-digits")
    targets = begun.change("targets", "--delegate", f"digits={key}")
    begun.sign(targets, "dora", "emil")
    begun.upload(targets)
    monkeypatch.setenv("BUNDLE_BUCKET", bucket)
    uris = {MODEL: begun.uris[f"release-{MODEL}"], "digits": key}
    monkeypatch.setenv("RELEASE_KEY_URIS", json.dumps(uris))
    for role in ("rollouts", "snapshot", "timestamp"):
        monkeypatch.setenv(f"{role.upper()}_KEY_URI", begun.uris[role])

    assert push("publish_release", b"{}").status_code == 200

    assert "release-digits 1 is valid" in packhorse("show", begun.copy_of_bucket())
    assert begun.sequence_at() == 1
    assert workflows.started == []


def test_rollouts_are_looked_after_once_an_hour(
    begun, push, bucket, ledger, topics, vertex, monkeypatch
):
    new = begun.make_online_key("rollouts-2")
    targets = begun.change("targets", "--replace-key", f"rollouts={new}")
    begun.sign(targets, "dora", "emil")
    begun.upload(targets)
    begun.uris["rollouts"] = new
    monkeypatch.setenv("BUNDLE_BUCKET", bucket)
    for role in ("rollouts", "snapshot", "timestamp"):
        monkeypatch.setenv(f"{role.upper()}_KEY_URI", begun.uris[role])

    hour = datetime.now(UTC).replace(second=0)
    push("advance_rollout", b"{}", published_at=hour.replace(minute=22))
    assert begun.refresh().waiting == ("rollouts",)
    reply = push("advance_rollout", b"{}", published_at=hour.replace(minute=23))
    assert reply.status_code == 200
    assert begun.refresh().waiting == ()
    assert begun.sequence_at() == 1


@pytest.mark.parametrize("dies_at", ["2.release-digits", "snapshot", "timestamp"])
def test_a_crash_while_newer_targets_are_followed_changes_nothing(begun, dies_at):
    key = begun.make_online_key("release-digits")
    new = begun.make_online_key("rollouts-2")
    words = ["--delegate", f"digits={key}", "--replace-key", f"rollouts={new}"]
    targets = begun.change("targets", *words)
    begun.sign(targets, "dora", "emil")
    begun.upload(targets)
    begun.uris |= {"release-digits": key, "rollouts": new}
    whole = begun.store
    begun.store = Dying(whole, dies_at)
    roles = ("release-digits", "rollouts")
    with pytest.raises(KeyboardInterrupt):
        begun.function(*roles).publish_release(*bundle("digits"))
    begun.store = whole
    assert begun.sequence_at() == 1
    assert begun.sequence_at("never seen before") == 1

    assert begun.function(*roles).publish_release(*bundle("digits"))
    assert begun.sequence_at() == 1
    begun.roll_out()
    assert begun.sequence_at() == 2


def test_functions_that_follow_at_once_agree(begun):
    """Each holds one of the new keys, and each signs what is its own."""
    new = {role: begun.make_online_key(f"{role}-2") for role in ("rollouts",)}
    new[f"release-{MODEL}"] = begun.make_online_key("release-2")
    words = [w for role, k in new.items() for w in ("--replace-key", f"{role}={k}")]
    targets = begun.change("targets", *words)
    begun.sign(targets, "dora", "emil")
    begun.upload(targets)
    begun.uris |= new
    failures = []

    def run(role):
        try:
            for _ in range(3):
                begun.function(role).renew_roles()
        except Exception as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [Thread(target=run, args=(role,)) for role in new]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert begun.refresh().waiting == ()
    assert begun.sequence_at("never seen before") == 1
    begun.roll_out()
    assert begun.sequence_at() == 2
