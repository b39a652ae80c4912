"""What a change starts from: the versions that count, out of a copy of the bucket.

The bucket also holds versions that never counted: what crashes left, and what was
uploaded with a signature too few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from tuf.api.metadata import (
    TOP_LEVEL_ROLE_NAMES,
    Metadata,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)

from packhorse.ceremony import keys_of, quorum, roles_of
from packhorse.cli.failure import CommandError
from packhorse.cli.keys.case import open_case
from packhorse.cli.keys.files import Found, read_latest, read_metadata, versions
from packhorse.signers import is_same_key, key_name
from packhorse.trust_root import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, metadata_file

T = TypeVar("T", Root, Targets)


@dataclass(frozen=True, slots=True)
class InForce:
    """What a gateway would find, from the newest root that is signed on.

    Attributes:
        found: The metadata of each role, as far as it is there.
        waiting: Newer files, and why each of them does not count.
    """

    found: Mapping[str, Found]
    waiting: Mapping[str, str]

    @property
    def unsigned(self) -> Sequence[str]:
        """Return the roles whose metadata is not signed by the keys of now."""
        return [role for role in self.found if not self._is_signed(role)]

    def _is_signed(self, role: str) -> bool:
        by = self.found.get(ROOT if role in TOP_LEVEL_ROLE_NAMES else TARGETS)
        delegator = by.signed if by is not None else None
        return (
            isinstance(delegator, Root | Targets)
            and role in roles_of(delegator)
            and quorum(self.found[role].metadata, role, delegator).is_met
        )


def read_in_force(repository: Path) -> InForce:
    """Follow a copy of the bucket as a gateway does: from root to timestamp, and on.

    What the copy lacks is passed over; without a timestamp the newest count.

    Raises:
        CommandError: It holds no root, or one of its files is no metadata.
    """
    waiting: dict[str, str] = {}
    root = _newest_whole(repository, ROOT, waiting)
    found = {ROOT: root or read_latest(repository, ROOT)}
    if versions(repository, TIMESTAMP):
        found[TIMESTAMP] = read_latest(repository, TIMESTAMP)
    if versions(repository, SNAPSHOT):
        found[SNAPSHOT] = _snapshot(repository)
    targets = _named(repository, found.get(SNAPSHOT), TARGETS)
    if targets is None and versions(repository, TARGETS):
        targets = _newest_whole(repository, TARGETS, waiting)
        targets = targets or read_latest(repository, TARGETS)
    if targets is not None:
        found[TARGETS] = targets
        waiting |= _newer(repository, targets)
    for role in roles_of(targets.signed) if targets else ():
        metadata = _named(repository, found.get(SNAPSHOT), role)
        if metadata is not None:
            found[role] = metadata
    return InForce(found, waiting)


def _newest_whole(repository: Path, role: str, waiting: dict[str, str]) -> Found | None:
    """Return the newest that is signed; note why newer ones do not count."""
    for path in versions(repository, role):
        found, reason = _read_whole(path, repository)
        if found is not None:
            return found
        waiting[path.name] = reason
    return None


def _read_whole(path: Path, repository: Path) -> tuple[Found | None, str]:
    """Read a file that is signed; of any other, say why it does not count."""
    try:
        found = read_metadata(path)
        if open_case(found, repository).was_whole:
            return found, ""
    except CommandError as error:
        return None, str(error)
    return None, "it waits for signatures"


def _newer(repository: Path, found: Found) -> Mapping[str, str]:
    """Name the targets after those that the snapshot names."""
    waiting: dict[str, str] = {}
    for path in versions(repository, found.role):
        if path == found.path:
            break
        _, reason = _read_whole(path, repository)
        waiting[path.name] = reason or "no function has taken it over yet"
    return waiting


def _snapshot(repository: Path) -> Found:
    """Return the snapshot that the timestamp names, or the newest."""
    if versions(repository, TIMESTAMP):
        signed = read_latest(repository, TIMESTAMP).signed
        version = signed.snapshot_meta.version if isinstance(signed, Timestamp) else 0
        path = repository / metadata_file(SNAPSHOT, version)
        if path.exists():
            return read_metadata(path)
    return read_latest(repository, SNAPSHOT)


def _named(repository: Path, snapshot: Found | None, role: str) -> Found | None:
    """Return the metadata of a role that the snapshot names, if it is there."""
    signed = snapshot.signed if snapshot is not None else None
    named = signed.meta.get(f"{role}.json") if isinstance(signed, Snapshot) else None
    path = repository / metadata_file(role, named.version if named else 0)
    return read_metadata(path) if named and path.exists() else None


def newest_root(repository: Path) -> Found:
    """Return the newest root; versions of it follow one another, signed."""
    found = read_latest(repository, ROOT)
    if not open_case(found, repository).is_whole:
        raise CommandError(
            f"{found.path} waits for signatures; `packhorse keys check` says whose. "
            "Take it away to prepare another"
        )
    return found


def newest_targets(repository: Path) -> Found:
    """Return the newest targets that were signed; others count nowhere."""
    found = _newest_whole(repository, TARGETS, {})
    if found is None:
        raise CommandError(f"{repository} holds no signed metadata of {TARGETS}")
    return found


def named_role(repository: Path, role: str) -> Found:
    """Return the version that the snapshot names; newer ones were never in force."""
    found = _named(repository, _snapshot(repository), role)
    if found is None or role == TARGETS:
        raise CommandError(
            f"the snapshot in {repository} names no delegated role {role} that is "
            "there; `packhorse keys show` names the roles"
        )
    return found


def check_keys_apart(signed: Root | Targets, repository: Path, other: str) -> None:
    """Refuse a key that the other file names already: whoever stole it had both."""
    for path in versions(repository, other)[:1]:
        taken = keys_of(read_metadata(path).signed).values()
        for key in keys_of(signed).values():
            if any(is_same_key(key, each) for each in taken):
                raise CommandError(
                    f"the key {key_name(key)} stands in {path.name} already; every "
                    "role must have one of its own"
                )


def of_kind(found: Found, kind: type[T]) -> Metadata[T]:
    """Return metadata that is of this kind, or refuse it."""
    if not isinstance(found.signed, kind):
        raise CommandError(f"{found.path} holds other metadata than it says")
    return cast("Metadata[T]", found.metadata)
