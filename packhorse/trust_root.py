"""Who vouches for what: the roles of the TUF repository, and its first state.

The top-level `targets` role vouches for nothing itself. It delegates bundles to
one role a model, whose key only the publisher (or an approver) holds, and
rollout documents to another, which is online. A thief of the online key can
reorder what was released, and inject nothing.

This module makes metadata and never reads a clock, a key file or a disk.

Source: docs/protocol.md, 8 "The repository"; TUF specification 1.0.31
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from securesystemslib.signer import Signer
from tuf.api.metadata import (
    TOP_LEVEL_ROLE_NAMES,
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)

from packhorse.names import check_model

ROOT = Root.type
TARGETS = Targets.type
SNAPSHOT = Snapshot.type
TIMESTAMP = Timestamp.type
ROLLOUTS = "rollouts"

ROOT_KEYS = 3
ROOT_THRESHOLD = 2
"""One root key may be lost, and one stolen, without harm."""

METADATA_MAX_BYTES = 5_000_000
"""The reference client's own limit: about 17,000 bundles in one role."""

_DAY = timedelta(days=1)
LIFETIMES = {
    # How long a gateway believes what it cannot refresh. People renew the first
    # two; `publish_release` and `advance_rollout` renew theirs as they publish.
    ROOT: 365 * _DAY,
    TARGETS: 365 * _DAY,
    SNAPSHOT: 30 * _DAY,
    # Bounds how long someone on the network can hide a withdrawal.
    TIMESTAMP: _DAY,
}
DELEGATED_LIFETIME = 365 * _DAY

_T = TypeVar("_T", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True, slots=True)
class RoleSigners:
    """One signer a role, three for root; each names its own public key."""

    root: Sequence[Signer]
    targets: Signer
    snapshot: Signer
    timestamp: Signer
    rollouts: Signer
    releases: Mapping[str, Signer]


def release_role(model: str) -> str:
    """Return the role that vouches for the bundles of a model."""
    return f"release-{check_model(model)}"


def lifetime(role: str) -> timedelta:
    """Return how long new metadata of a role is valid."""
    return LIFETIMES.get(role, DELEGATED_LIFETIME)


def metadata_file(role: str, version: int) -> str:
    """Return the file name of a role's metadata: only the timestamp has no version."""
    return f"{role}.json" if role == TIMESTAMP else f"{version}.{role}.json"


def first_metadata(signers: RoleSigners, *, at: datetime) -> dict[str, bytes]:
    """Make version 1 of a repository that vouches for nothing yet.

    Args:
        signers: Who signs, and whose public keys are trusted from now on.
        at: Now (UTC); every expiry counts from here.

    Returns:
        File name to content, in the order in which they must be uploaded.
    """
    roles = {ROLLOUTS: signers.rollouts}
    roles |= {release_role(m): signer for m, signer in signers.releases.items()}
    files: dict[str, bytes] = {}

    def sign(role: str, signed: _T) -> None:
        signed.expires = at + lifetime(role)
        metadata = Metadata[_T](signed)
        for signer in _signers_of(role, signers, roles):
            metadata.sign(signer, append=True)
        files[metadata_file(role, 1)] = metadata.to_bytes()

    sign(ROOT, _root(signers))
    for role in roles:
        sign(role, Targets())
    sign(TARGETS, Targets(delegations=_delegations(roles)))
    named = {f"{role}.json": MetaFile() for role in [TARGETS, *roles]}
    sign(SNAPSHOT, Snapshot(meta=named))
    sign(TIMESTAMP, Timestamp(snapshot_meta=MetaFile()))
    return files


def _signers_of(
    role: str, signers: RoleSigners, delegated: Mapping[str, Signer]
) -> Sequence[Signer]:
    if role == ROOT:
        return signers.root
    if role in delegated:
        return [delegated[role]]
    top = {
        TARGETS: signers.targets,
        SNAPSHOT: signers.snapshot,
        TIMESTAMP: signers.timestamp,
    }
    return [top[role]]


def _root(signers: RoleSigners) -> Root:
    root = Root(
        roles={role: Role([], 1) for role in TOP_LEVEL_ROLE_NAMES},
        consistent_snapshot=True,
    )
    for role in TOP_LEVEL_ROLE_NAMES:
        for signer in _signers_of(role, signers, {}):
            root.add_key(signer.public_key, role)
    root.roles[ROOT].threshold = ROOT_THRESHOLD
    return root


def _delegations(roles: Mapping[str, Signer]) -> Delegations:
    keys = {signer.public_key.keyid: signer.public_key for signer in roles.values()}
    delegated = {
        role: DelegatedRole(
            role,
            [signer.public_key.keyid],
            1,
            # What a role does not name, no role after it may.
            terminating=True,
            paths=[_paths(role)],
        )
        for role, signer in roles.items()
    }
    return Delegations(keys, delegated)


def _paths(role: str) -> str:
    if role == ROLLOUTS:
        return "rollouts/*"
    return f"bundles/{role.removeprefix('release-')}/*/*"
