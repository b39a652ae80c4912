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

from securesystemslib.signer import Key, SecretsHandler, Signature, Signer
from tuf.api.metadata import (
    TOP_LEVEL_ROLE_NAMES,
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
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

TARGETS_KEYS = 2
"""All of them must agree; a lost one is replaced by a new root."""

METADATA_MAX_BYTES = 5_000_000
"""The reference client's own limit: about 17,000 bundles in one role."""

_DAY = timedelta(days=1)
LIFETIMES = {
    # How long a gateway believes what it cannot refresh. People renew the first
    # two, and the functions whatever they sign, once half of its time is gone.
    ROOT: 365 * _DAY,
    TARGETS: 365 * _DAY,
    SNAPSHOT: 30 * _DAY,
    # Bounds how long someone on the network can hide a withdrawal.
    TIMESTAMP: _DAY,
}
DELEGATED_LIFETIME = 365 * _DAY

SIGNED_AT = "signed_at"
"""Our own field of a timestamp: no gateway's clock runs behind it afterwards."""

_T = TypeVar("_T", Root, Targets, Snapshot, Timestamp)


class AbsentSigner(Signer):
    """Someone who signs elsewhere: only his public key is here."""

    def __init__(self, public_key: Key) -> None:
        """Stand for the owner of `public_key`."""
        self._public_key = public_key

    @property
    def public_key(self) -> Key:
        """The key that will verify his signature."""
        return self._public_key

    @classmethod
    def from_priv_key_uri(
        cls,
        priv_key_uri: str,
        public_key: Key,
        secrets_handler: SecretsHandler | None = None,
    ) -> "AbsentSigner":
        """Stand for the owner of a key that is elsewhere."""
        del priv_key_uri, secrets_handler
        return cls(public_key)

    def sign(self, payload: bytes) -> Signature:
        """Refuse: he is not here."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class RoleSigners:
    """Who signs for a role; each names its own public key.

    A signer may be a stranger's, of whom only the public key is here: what he has
    to sign then waits for him.

    Attributes:
        root_threshold: So many of `root` must agree.
        targets_threshold: So many of `targets` must agree.
    """

    root: Sequence[Signer]
    targets: Sequence[Signer]
    snapshot: Signer
    timestamp: Signer
    rollouts: Signer
    releases: Mapping[str, Signer]
    root_threshold: int = ROOT_THRESHOLD
    targets_threshold: int = 1


def release_role(model: str) -> str:
    """Return the role that vouches for the bundles of a model."""
    return f"release-{check_model(model)}"


def lifetime(role: str) -> timedelta:
    """Return how long new metadata of a role is valid."""
    return LIFETIMES.get(role, DELEGATED_LIFETIME)


def set_dates(signed: Signed, role: str, *, at: datetime) -> None:
    """Let metadata of a role be valid from `at` (UTC), for the role's lifetime."""
    signed.expires = at + lifetime(role)
    if role == TIMESTAMP:
        signed.unrecognized_fields[SIGNED_AT] = at.isoformat(timespec="seconds")


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
        set_dates(signed, role, at=at)
        metadata = Metadata[_T](signed)
        for signer in _signers_of(role, signers, roles):
            if not isinstance(signer, AbsentSigner):
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
    if role == TARGETS:
        return signers.targets
    return [signers.snapshot if role == SNAPSHOT else signers.timestamp]


def _root(signers: RoleSigners) -> Root:
    root = Root(
        roles={role: Role([], 1) for role in TOP_LEVEL_ROLE_NAMES},
        consistent_snapshot=True,
    )
    for role in TOP_LEVEL_ROLE_NAMES:
        for signer in _signers_of(role, signers, {}):
            root.add_key(signer.public_key, role)
    root.roles[ROOT].threshold = signers.root_threshold
    root.roles[TARGETS].threshold = signers.targets_threshold
    return root


def _delegations(roles: Mapping[str, Signer]) -> Delegations:
    keys = {signer.public_key.keyid: signer.public_key for signer in roles.values()}
    delegated = {
        role: delegated_role(role, [signer.public_key.keyid])
        for role, signer in roles.items()
    }
    return Delegations(keys, delegated)


def delegated_role(role: str, keyids: list[str]) -> DelegatedRole:
    """Return the delegation to a role: to any one of the keys, for its own paths."""
    # What a role does not name, no role after it may.
    return DelegatedRole(role, keyids, 1, terminating=True, paths=[_paths(role)])


def _paths(role: str) -> str:
    if role == ROLLOUTS:
        return "rollouts/*"
    return f"bundles/{role.removeprefix('release-')}/*/*"
