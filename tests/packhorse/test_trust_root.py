"""The first trust: who vouches for what, and who cannot."""

from datetime import UTC, datetime, timedelta

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Targets

from packhorse.errors import MalformedError
from packhorse.trust_root import (
    RoleSigners,
    first_metadata,
    lifetime,
    metadata_file,
    release_role,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(scope="module")
def files():
    make = CryptoSigner.generate_ecdsa
    signers = RoleSigners(
        root=[make() for _ in range(3)],
        targets=[make()],
        snapshot=make(),
        timestamp=make(),
        rollouts=make(),
        releases={"digits": make(), "magika": make()},
    )
    return first_metadata(signers, at=NOW)


def signed(files, name):
    return Metadata.from_bytes(files[name])


def test_every_role_gets_its_first_metadata_and_the_timestamp_comes_last(files):
    assert sorted(files) == [
        "1.release-digits.json",
        "1.release-magika.json",
        "1.rollouts.json",
        "1.root.json",
        "1.snapshot.json",
        "1.targets.json",
        "timestamp.json",
    ]
    assert next(iter(files)) == "1.root.json"
    assert list(files)[-1] == "timestamp.json"


def test_two_of_three_root_keys_decide(files):
    root = signed(files, "1.root.json")
    assert len(root.signatures) == 3
    for keyid in list(root.signatures)[:1]:
        del root.signatures[keyid]
    root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    root.signatures.popitem()
    with pytest.raises(UnsignedMetadataError):
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)


def test_each_role_is_signed_by_its_own_key_alone(files):
    root, targets = signed(files, "1.root.json"), signed(files, "1.targets.json")
    keys = [
        *(root.signed.roles[role].keyids for role in root.signed.roles),
        *(role.keyids for role in targets.signed.delegations.roles.values()),
    ]
    flat = [keyid for keyids in keys for keyid in keyids]
    assert len(flat) == len(set(flat)) == 9


def test_bundles_and_rollouts_are_vouched_for_by_different_keys(files):
    roles = signed(files, "1.targets.json").signed.delegations.roles
    paths = {
        "bundles/digits/2/fp32.tar": "release-digits",
        "bundles/magika/2/fp32.tar": "release-magika",
        "rollouts/digits.json": "rollouts",
    }
    for path, owner in paths.items():
        vouching = [
            name for name, role in roles.items() if role.is_delegated_path(path)
        ]
        assert vouching == [owner]
    assert all(role.terminating for role in roles.values())


def test_nothing_is_vouched_for_yet(files):
    for name in ("1.targets.json", "1.rollouts.json", "1.release-digits.json"):
        targets = signed(files, name).signed
        assert isinstance(targets, Targets)
        assert targets.targets == {}


def test_the_timestamp_expires_first(files):
    assert signed(files, "timestamp.json").signed.expires == NOW + timedelta(days=1)
    assert signed(files, "1.root.json").signed.expires == NOW + timedelta(days=365)
    assert lifetime("rollouts") == timedelta(days=365)


def test_only_the_timestamp_has_no_version_in_its_name():
    assert metadata_file("timestamp", 5) == "timestamp.json"
    assert metadata_file("rollouts", 5) == "5.rollouts.json"


def test_a_role_is_named_after_a_model_only():
    with pytest.raises(MalformedError):
        release_role("../digits")
