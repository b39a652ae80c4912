"""What a change starts from: the versions that count, out of a copy of the bucket.

The bucket also holds versions that never counted: what crashes left, and what was
uploaded with a signature too few.
"""

from pathlib import Path
from typing import TypeVar, cast

from tuf.api.metadata import Metadata, Root, Snapshot, Targets

from packhorse.ceremony import keys_of
from packhorse.cli.failure import CommandError
from packhorse.cli.keys.case import open_case
from packhorse.cli.keys.files import Found, read_latest, read_metadata, versions
from packhorse.signers import is_same_key, key_name
from packhorse.trust_root import ROOT, SNAPSHOT, TARGETS, metadata_file

T = TypeVar("T", Root, Targets)


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
    """Return the newest targets that were signed; half signed ones count nowhere."""
    for path in versions(repository, TARGETS):
        found = read_metadata(path)
        if open_case(found, repository).was_whole:
            return found
    raise CommandError(f"{repository} holds no signed metadata of {TARGETS}")


def named_role(repository: Path, role: str) -> Found:
    """Return the version that the snapshot names; newer ones were never in force."""
    snapshot = read_latest(repository, SNAPSHOT).signed
    named = (
        snapshot.meta.get(f"{role}.json") if isinstance(snapshot, Snapshot) else None
    )
    if named is None or role == TARGETS:
        raise CommandError(
            f"the snapshot in {repository} names no delegated role {role}"
        )
    return read_metadata(repository / metadata_file(role, named.version))


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
