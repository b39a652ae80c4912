"""What the roles of the TUF repository vouch for, and how it may change.

Pure: metadata goes in and comes out. `adapters/tuf_repository.py` reads, signs
and writes it.

Source: docs/protocol.md, 8 "The repository"; TUF specification 1.0.31
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from functions.errors import ReleaseRefusedError, RolloutError
from packhorse.assignment import BundleRef, decode_rollout, rollout_target
from packhorse.errors import UntrustedError
from packhorse.names import Release
from packhorse.trust_root import TIMESTAMP, lifetime, metadata_file, set_dates

TIMESTAMP_OBJECT = f"metadata/{metadata_file(TIMESTAMP, 0)}"

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


def target_object(path: str, sha256: str) -> str:
    """Return the name of the object that holds a target's content.

    Source: TUF specification, 6.2 "Consistent snapshots"
    """
    folder, _, file = path.rpartition("/")
    return f"targets/{folder}/{sha256}.{file}"


def metadata_object(role: str, version: int) -> str:
    """Return the name of the object that holds a role's metadata."""
    return f"metadata/{metadata_file(role, version)}"


def decode_metadata(body: bytes, kind: type[T], *, what: str) -> Metadata[T]:
    """Read metadata of one kind; nothing about it is verified yet.

    Raises:
        UntrustedError: It is none.
    """
    try:
        metadata = Metadata[T].from_bytes(body)
    except DeserializationError as error:
        raise UntrustedError(f"{what} is no TUF metadata") from error
    if not isinstance(metadata.signed, kind):
        raise UntrustedError(f"{what} is metadata of the kind {metadata.signed.type}")
    return metadata


def check_signed(
    delegator: Root | Targets, role: str, metadata: Metadata[T], *, what: str
) -> None:
    """Refuse metadata that the delegator's keys for `role` did not sign.

    Expiry is not looked at: whoever asks is about to renew it.

    Raises:
        UntrustedError: There are too few good signatures, or no such role.
    """
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise UntrustedError(f"{what} is not signed by the keys of {role}") from error


def is_signed(delegator: Root | Targets, role: str, metadata: Metadata[T]) -> bool:
    """Say whether the delegator's keys for `role` signed `metadata`."""
    try:
        check_signed(delegator, role, metadata, what=role)
    except UntrustedError:
        return False
    return True


def check_content(body: bytes, named: MetaFile | TargetFile, *, what: str) -> None:
    """Refuse a file that is not the one that was named.

    Raises:
        UntrustedError: Its length or its hash is another.
    """
    try:
        named.verify_length_and_hashes(body)
    except RepositoryError as error:
        raise UntrustedError(f"{what} is not the file that was vouched for") from error


def add_release(
    targets: Targets, release: Release, bundles: Mapping[str, BundleRef]
) -> bool:
    """Vouch for the bundles of a release.

    Returns:
        Whether anything changed. False when all of it was vouched for before.

    Raises:
        ReleaseRefusedError: Another content was vouched for under that name.
    """
    new = {b.target: _bundle_target(release, v, b) for v, b in bundles.items()}
    for path, target in new.items():
        before = targets.targets.get(path)
        if before is not None and before.hashes != target.hashes:
            raise ReleaseRefusedError(
                f"{release} was published with another {path}; a release never "
                "changes, push a new version"
            )
    if new.keys() <= targets.targets.keys():
        return False
    targets.targets.update(new)
    return True


def add_rollout(targets: Targets, model: str, document: bytes) -> bool:
    """Vouch for a model's rollout document, never for an older one.

    Returns:
        Whether anything changed. False when this or a later one stands there.

    Raises:
        MalformedError: It is no rollout document.
        RolloutError: It is of another model, or another document of the same
            sequence stands there.
    """
    rollout = decode_rollout(document)
    if rollout.model != model:
        raise RolloutError(f"the rollout document of {model} is of {rollout.model}")
    path = rollout_target(model)
    target = TargetFile.from_data(path, document, ["sha256"])
    target.unrecognized_fields["custom"] = {"sequence": rollout.sequence}
    before = targets.targets.get(path)
    if before is not None:
        sequence = _sequence(before)
        if sequence == rollout.sequence and before.hashes != target.hashes:
            raise RolloutError(
                f"another document of {path} with the sequence {sequence} is "
                "published; each change takes the next one"
            )
        if sequence >= rollout.sequence:
            return False
    targets.targets[path] = target
    return True


def renew(signed: Signed, role: str, *, at: datetime) -> None:
    """Make the next version of a role's metadata, valid from `at`."""
    signed.version += 1
    set_dates(signed, role, at=at)


def is_due(signed: Signed, role: str, *, at: datetime) -> bool:
    """Say whether over half of the metadata's lifetime is gone."""
    return signed.expires - at < lifetime(role) / 2


def _bundle_target(release: Release, variant: str, bundle: BundleRef) -> TargetFile:
    custom = {"release": str(release), "variant": variant}
    return TargetFile(
        bundle.length_bytes,
        {"sha256": bundle.sha256},
        bundle.target,
        {"custom": custom},
    )


def _sequence(target: TargetFile) -> int:
    custom = target.custom
    sequence = custom.get("sequence") if isinstance(custom, Mapping) else None
    return sequence if isinstance(sequence, int) else 0
