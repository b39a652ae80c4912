"""The signed repository in the bucket, read and verified.

Verified are names, contents and signatures. Expiry is not looked at: whoever reads
here is about to renew it. What an online key signed that a newer root no longer
trusts is believed as far as it says what stood there last, because it has to be
signed anew with the key that took its place; docs/adr/0014.

Source: docs/protocol.md, 8 "The repository"; TUF specification 1.0.31, 5.3
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from functions.adapters.storage import ObjectStore
from functions.errors import ReleaseRefusedError, UpstreamUnavailableError
from functions.release.metadata import (
    TIMESTAMP_OBJECT,
    check_content,
    check_signed,
    decode_metadata,
    is_signed,
    metadata_object,
)
from packhorse.errors import LimitExceededError, UntrustedError
from packhorse.trust_root import METADATA_MAX_BYTES, ROOT, SNAPSHOT, TARGETS, TIMESTAMP

AHEAD_MAX = 64
"""Versions of one role that are looked for beyond the one in force."""

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


@dataclass(slots=True)
class State:
    """The repository as one timestamp names it; verified, perhaps expired.

    Attributes:
        root: The last of the chain.
        generation: Of the timestamp's object.
        is_changed: Whether the snapshot must be written anew.
        is_orphaned: Whether the targets in force are none of this root's.
        waiting: Delegated roles without which newer targets cannot count.
    """

    root: Root
    timestamp: Metadata[Timestamp]
    generation: int
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]
    is_changed: bool
    is_orphaned: bool
    waiting: Sequence[str] = ()

    def named(self, role: str) -> MetaFile | None:
        """Return which version of a role counts."""
        return self.snapshot.signed.meta.get(f"{role}.json")

    def name(self, role: str, named: MetaFile) -> None:
        """Let another version of a role count."""
        self.snapshot.signed.meta[f"{role}.json"] = named
        self.is_changed = True


class TufReader:
    """Reads the repository in one bucket. It remembers the roots that it followed."""

    def __init__(self, store: ObjectStore) -> None:
        """Read from `store`, the bucket that holds `metadata/`."""
        self._store = store
        self._roots: list[Root] = []

    def load(self) -> State:
        """Read and verify what stands in the bucket now.

        Raises:
            UntrustedError: It is missing, or nobody vouches for it.
        """
        found = self._store.read_with_generation(TIMESTAMP_OBJECT, METADATA_MAX_BYTES)
        if found is None:
            raise UntrustedError(
                f"{TIMESTAMP_OBJECT} is missing; upload what `packhorse keys init` made"
            )
        roots = self._load_roots()
        body, generation = found
        timestamp = decode_metadata(body, Timestamp, what=TIMESTAMP_OBJECT)
        _check_by_any(roots, TIMESTAMP, timestamp, what=TIMESTAMP_OBJECT)
        snapshot = self.read_named(SNAPSHOT, timestamp.signed.snapshot_meta, Snapshot)
        by = _check_by_any(roots, SNAPSHOT, snapshot, what=SNAPSHOT)
        targets = self.read_named(
            TARGETS, snapshot.signed.meta[f"{TARGETS}.json"], Targets
        )
        vouching = _check_by_any(roots, TARGETS, targets, what=TARGETS)
        return State(
            root=roots[-1],
            timestamp=timestamp,
            generation=generation,
            snapshot=snapshot,
            targets=targets,
            is_changed=by is not roots[-1],
            is_orphaned=vouching is not roots[-1],
        )

    def load_role(self, state: State, role: str) -> Metadata[Targets]:
        """Read and verify a delegated role.

        Raises:
            ReleaseRefusedError: Nobody delegates to it.
            UpstreamUnavailableError: Newer targets do, and cannot count yet.
            UntrustedError: It is missing, or its keys did not sign it.
        """
        named = state.named(role)
        if named is None and state.waiting:
            raise UpstreamUnavailableError(
                f"the role {role} is not there yet: newer targets wait until "
                f"{', '.join(state.waiting)} is signed by its new key"
            )
        if named is None:
            raise ReleaseRefusedError(
                f"the repository has no role {role}; `packhorse keys` delegates to it"
            )
        metadata = self.read_named(role, named, Targets)
        check_signed(state.targets.signed, role, metadata, what=role)
        return metadata

    def read_named(self, role: str, named: MetaFile, kind: type[T]) -> Metadata[T]:
        """Read the file that was named; who signed it is not looked at."""
        name = metadata_object(role, named.version)
        body = self._store.read(name, METADATA_MAX_BYTES)
        if body is None:
            raise UntrustedError(f"{name} is missing")
        check_content(body, named, what=name)
        return decode_metadata(body, kind, what=name)

    def newest_targets(
        self, state: State, *, now: datetime
    ) -> tuple[Metadata[Targets], MetaFile] | None:
        """Return the newest targets beyond those in force, signed and not expired."""
        newest = None
        for body, metadata in self._beyond(TARGETS, state.targets.signed.version):
            is_good = is_signed(state.root, TARGETS, metadata)
            if is_good and not metadata.signed.is_expired(now):
                newest = metadata, _name(metadata, body)
        return newest

    def first_signed(
        self, role: str, after: int, delegator: Targets
    ) -> MetaFile | None:
        """Return the first version after one that a role's new keys signed."""
        for body, metadata in self._beyond(role, after):
            if is_signed(delegator, role, metadata):
                return _name(metadata, body)
        return None

    def _beyond(self, role: str, version: int) -> list[tuple[bytes, Metadata[Targets]]]:
        """Read the versions after one, to the first that is missing."""
        found = []
        for number in range(version + 1, version + 1 + AHEAD_MAX):
            name = metadata_object(role, number)
            try:
                body = self._store.read(name, METADATA_MAX_BYTES)
                if body is None:
                    break
                metadata = decode_metadata(body, Targets, what=name)
            except (LimitExceededError, UntrustedError):
                continue  # whoever put it there: its number is spent, nothing more
            if metadata.signed.version == number:
                found.append((body, metadata))
        return found

    def _load_roots(self) -> list[Root]:
        """Follow the chain of roots from the last one known to its end."""
        while (root := self._next_root()) is not None:
            self._roots.append(root)
        if not self._roots:
            raise UntrustedError(f"{metadata_object(ROOT, 1)} is missing")
        return self._roots

    def _next_root(self) -> Root | None:
        """Read the root after the last, signed by both; the first by itself."""
        before = self._roots[-1] if self._roots else None
        name = metadata_object(ROOT, before.version + 1 if before else 1)
        body = self._store.read(name, METADATA_MAX_BYTES)
        if body is None:
            return None
        metadata = decode_metadata(body, Root, what=name)
        for delegator in (before or metadata.signed, metadata.signed):
            check_signed(delegator, ROOT, metadata, what=name)
        return metadata.signed


def _name(metadata: Metadata[Targets], body: bytes) -> MetaFile:
    return MetaFile.from_data(metadata.signed.version, body, ["sha256"])


def _check_by_any(
    roots: Sequence[Root], role: str, metadata: Metadata[T], *, what: str
) -> Root:
    """Return the newest root whose keys for `role` signed `metadata`.

    Raises:
        UntrustedError: No root's did.
    """
    for root in reversed(roots):
        if is_signed(root, role, metadata):
            return root
    check_signed(roots[-1], role, metadata, what=what)
    return roots[-1]
