"""What a role vouches for changes in one direction only."""

from datetime import UTC, datetime, timedelta

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from functions.errors import ReleaseRefusedError, RolloutError
from functions.release.metadata import (
    TIMESTAMP_OBJECT,
    add_release,
    add_rollout,
    check_content,
    check_signed,
    decode_metadata,
    is_due,
    metadata_object,
    renew,
    target_object,
)
from packhorse.assignment import (
    BundleRef,
    RolloutDocument,
    bundle_target,
    encode_rollout,
)
from packhorse.errors import MalformedError, UntrustedError
from packhorse.names import Release
from packhorse.trust_root import SIGNED_AT, SNAPSHOT, TIMESTAMP

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RELEASE = Release("digits", 2)


def bundle(variant="fp32", digit="a"):
    return BundleRef(bundle_target(RELEASE, variant), 10, digit * 64)


def document(sequence, **options):
    return encode_rollout(RolloutDocument("digits", sequence, **options))


def test_objects_are_named_as_consistent_snapshots_ask():
    assert target_object("bundles/digits/2/fp32.tar", "ab") == (
        "targets/bundles/digits/2/ab.fp32.tar"
    )
    assert metadata_object("release-digits", 3) == "metadata/3.release-digits.json"
    assert TIMESTAMP_OBJECT == "metadata/timestamp.json"


def test_a_release_is_added_once():
    targets = Targets()
    assert add_release(targets, RELEASE, {"fp32": bundle()})
    assert not add_release(targets, RELEASE, {"fp32": bundle()})
    assert targets.targets["bundles/digits/2/fp32.tar"].length == 10


def test_a_variant_that_came_later_is_added_to_its_release():
    targets = Targets()
    add_release(targets, RELEASE, {"fp32": bundle()})
    both = {"fp32": bundle(), "int8": bundle("int8")}
    assert add_release(targets, RELEASE, both)
    assert len(targets.targets) == 2


def test_a_release_never_changes():
    targets = Targets()
    add_release(targets, RELEASE, {"fp32": bundle()})
    with pytest.raises(ReleaseRefusedError, match="digits@2 was published with"):
        add_release(targets, RELEASE, {"fp32": bundle(digit="b")})
    assert targets.targets["bundles/digits/2/fp32.tar"].hashes["sha256"] == "a" * 64


def test_a_document_replaces_older_ones_only():
    targets = Targets()
    assert add_rollout(targets, "digits", document(2))
    assert add_rollout(targets, "digits", document(4))
    assert not add_rollout(targets, "digits", document(3))
    assert not add_rollout(targets, "digits", document(4))
    target = targets.targets["rollouts/digits.json"]
    assert target.custom == {"sequence": 4}
    target.verify_length_and_hashes(document(4))


def test_a_document_without_a_known_sequence_is_replaced():
    targets = Targets()
    path = "rollouts/digits.json"
    targets.targets[path] = TargetFile(1, {"sha256": "0" * 64}, path)
    assert add_rollout(targets, "digits", document(1))


def test_a_document_of_the_same_sequence_must_be_the_same():
    targets = Targets()
    add_rollout(targets, "digits", document(2))
    with pytest.raises(RolloutError, match="sequence 2"):
        add_rollout(targets, "digits", document(2, is_held=True))


def test_what_is_no_document_of_the_model_is_refused():
    with pytest.raises(RolloutError, match="of magika is of digits"):
        add_rollout(Targets(), "magika", document(1))
    with pytest.raises(MalformedError):
        add_rollout(Targets(), "digits", b"{}")


def test_metadata_of_another_kind_is_not_believed():
    body = Metadata(Snapshot()).to_bytes()
    assert decode_metadata(body, Snapshot, what="it").signed.version == 1
    with pytest.raises(UntrustedError, match="it is metadata of the kind snapshot"):
        decode_metadata(body, Targets, what="it")
    with pytest.raises(UntrustedError, match="it is no TUF metadata"):
        decode_metadata(b"{}", Targets, what="it")


def test_a_file_that_is_not_the_named_one_is_not_believed():
    named = MetaFile.from_data(1, b"content", ["sha256"])
    check_content(b"content", named, what="it")
    with pytest.raises(UntrustedError, match="it is not the file"):
        check_content(b"c0ntent", named, what="it")


def test_a_signature_of_a_stranger_is_not_believed():
    signer, stranger = CryptoSigner.generate_ecdsa(), CryptoSigner.generate_ecdsa()
    root = Root()
    root.add_key(signer.public_key, SNAPSHOT)
    metadata = Metadata(Snapshot())
    metadata.sign(signer)
    check_signed(root, SNAPSHOT, metadata, what="it")

    metadata.sign(stranger)
    with pytest.raises(UntrustedError, match="it is not signed by the keys of"):
        check_signed(root, SNAPSHOT, metadata, what="it")
    with pytest.raises(UntrustedError):
        check_signed(root, "no-such-role", metadata, what="it")


def test_the_next_version_is_valid_from_now():
    signed = Snapshot(expires=NOW)
    renew(signed, SNAPSHOT, at=NOW)
    assert signed.version == 2
    assert signed.expires == NOW + timedelta(days=30)


def test_a_timestamp_says_when_it_was_signed():
    signed = Timestamp(expires=NOW)
    renew(signed, TIMESTAMP, at=NOW)
    assert signed.unrecognized_fields == {SIGNED_AT: NOW.isoformat()}


def test_metadata_is_due_when_half_its_lifetime_is_gone():
    signed = Snapshot(expires=NOW + timedelta(days=30))
    assert not is_due(signed, SNAPSHOT, at=NOW + timedelta(days=14))
    assert is_due(signed, SNAPSHOT, at=NOW + timedelta(days=16))
