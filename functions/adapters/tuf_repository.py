"""The signed repository in the bucket: read, changed, signed, written.

Everything but `timestamp.json` is written once and never changed, and
`timestamp.json` last, under the generation that was read. So a reader finds a
whole repository at any moment, of two writers at once the slower one starts
again on what the faster one left, and what a crash leaves before the last step
is named by nobody: the next writer skips its version number.

Source: docs/protocol.md, 8 "The repository"; TUF specification 1.0.31, 6.2
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from functions.adapters.signing import sign
from functions.adapters.storage import ObjectStore
from functions.errors import (
    ReleaseRefusedError,
    SettingsError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
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
from packhorse.assignment import BundleRef, rollout_target
from packhorse.errors import UntrustedError
from packhorse.names import Release
from packhorse.trust_root import (
    METADATA_MAX_BYTES,
    ROLLOUTS,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    release_role,
)

JSON = "application/json"
IMMUTABLE = "public, max-age=31536000, immutable"
"""For objects whose name is never used for another content."""
RACES_MAX = 12
"""Writers at once are one a model and two schedules; each race has a winner."""
ORPHANS_MAX = 256
"""Versions that crashes and lost races left since the last good one."""

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True, slots=True)
class _State:
    """The repository as one timestamp names it; verified, perhaps expired."""

    root: Root
    timestamp: Metadata[Timestamp]
    generation: int
    snapshot: Metadata[Snapshot]
    targets: Targets


class TufRepository:
    """The repository in one bucket, and the keys that this function may use."""

    def __init__(
        self,
        store: ObjectStore,
        key_uris: Mapping[str, str],
        *,
        now: Callable[[], datetime],
    ) -> None:
        """Work in `store`, signing as each role with the key that it is given.

        Args:
            store: The bucket that holds `metadata/` and `targets/`.
            key_uris: Private key URI by role, for the roles of this function.
            now: The clock (UTC), for expiries.
        """
        self._store = store
        self._key_uris = key_uris
        self._now = now
        self._root: Root | None = None

    def publish_release(
        self, release: Release, bundles: Mapping[str, BundleRef]
    ) -> bool:
        """Vouch for all bundles of a release at once.

        Args:
            release: Never published with other bundles.
            bundles: By variant; their objects are in the bucket already.

        Returns:
            Whether this call did it. False when an earlier one had.

        Raises:
            ReleaseRefusedError: It was published with other bundles, or no role
                vouches for this model.
            UpstreamUnavailableError: Perhaps published; safe to call again.
        """
        role = release_role(release.model)
        return self._publish(role, lambda known: add_release(known, release, bundles))

    def publish_rollout(self, model: str, document: bytes) -> bool:
        """Put the rollout document of a model in the place of an older one.

        Returns:
            Whether this call did it. False when this or a later one stood there.

        Raises:
            RolloutError: It is another model's, or another document of the same
                sequence is published.
            UpstreamUnavailableError: Perhaps published; safe to call again.
        """
        path = rollout_target(model)

        def change(known: Targets) -> bool:
            if not add_rollout(known, model, document):
                return False
            name = target_object(path, known.targets[path].hashes["sha256"])
            self._write(name, document)
            return True

        return self._publish(ROLLOUTS, change)

    def refresh_timestamp(self) -> int:
        """Sign a new timestamp, and a new snapshot where the old one grows old.

        Returns:
            The version of the timestamp that stands there now or later.

        Raises:
            UpstreamUnavailableError: Not refreshed now; safe to call again.
        """
        with _whole_or_a_person():
            state = self._load()
        if is_due(state.snapshot.signed, SNAPSHOT, at=self._now()):
            self._write_snapshot(state)
        # A lost race means that another writer has just signed a newer one.
        self._write_timestamp(state)
        return int(state.timestamp.signed.version)

    def _publish(self, role: str, change: Callable[[Targets], bool]) -> bool:
        for _ in range(RACES_MAX):
            with _whole_or_a_person():
                state = self._load()
                metadata = self._load_role(state, role)
            if not change(metadata.signed):
                return False
            body = self._write_next(metadata, role, state.targets)
            named = MetaFile.from_data(metadata.signed.version, body, ["sha256"])
            state.snapshot.signed.meta[f"{role}.json"] = named
            self._write_snapshot(state)
            if self._write_timestamp(state):
                return True
        raise UpstreamUnavailableError(
            f"{RACES_MAX} other publications came first, one after another"
        )

    def _write_snapshot(self, state: _State) -> None:
        body = self._write_next(state.snapshot, SNAPSHOT, state.root)
        state.timestamp.signed.snapshot_meta = MetaFile.from_data(
            state.snapshot.signed.version, body, ["sha256"]
        )

    def _write_timestamp(self, state: _State) -> bool:
        """Make everything written before count, unless another writer was first."""
        renew(state.timestamp.signed, TIMESTAMP, at=self._now())
        sign(state.timestamp, TIMESTAMP, state.root, self._key_uri(TIMESTAMP))
        return self._store.write_if_generation(
            TIMESTAMP_OBJECT, state.timestamp.to_bytes(), state.generation
        )

    def _write_next(
        self, metadata: Metadata[T], role: str, delegator: Root | Targets
    ) -> bytes:
        """Sign and write the next version whose number nobody used."""
        for _ in range(ORPHANS_MAX):
            renew(metadata.signed, role, at=self._now())
            sign(metadata, role, delegator, self._key_uri(role))
            body = metadata.to_bytes()
            if self._write(metadata_object(role, metadata.signed.version), body):
                return body
        raise UpstreamUnavailableError(f"{ORPHANS_MAX} versions of {role} are orphans")

    def _write(self, name: str, body: bytes) -> bool:
        return self._store.write_once(
            name,
            body,
            length_bytes=len(body),
            content_type=JSON,
            cache_control=IMMUTABLE,
        )

    def _key_uri(self, role: str) -> str:
        uri = self._key_uris.get(role)
        if uri is None:
            raise SettingsError(f"no setting names a key for the role {role}")
        return uri

    def _load(self) -> _State:
        """Read and verify what stands in the bucket now."""
        found = self._store.read_with_generation(TIMESTAMP_OBJECT, METADATA_MAX_BYTES)
        if found is None:
            raise UntrustedError(
                f"{TIMESTAMP_OBJECT} is missing; upload what `packhorse keys init` made"
            )
        root = self._load_root()
        body, generation = found
        timestamp = decode_metadata(body, Timestamp, what=TIMESTAMP_OBJECT)
        check_signed(root, TIMESTAMP, timestamp, what=TIMESTAMP_OBJECT)
        named = timestamp.signed.snapshot_meta
        snapshot = self._load_named(SNAPSHOT, named, Snapshot, root)
        named = snapshot.signed.meta[f"{TARGETS}.json"]
        targets = self._load_named(TARGETS, named, Targets, root)
        return _State(root, timestamp, generation, snapshot, targets.signed)

    def _load_role(self, state: _State, role: str) -> Metadata[Targets]:
        named = state.snapshot.signed.meta.get(f"{role}.json")
        if named is None:
            raise ReleaseRefusedError(
                f"the repository has no role {role}; `packhorse keys` delegates to it"
            )
        return self._load_named(role, named, Targets, state.targets)

    def _load_named(
        self, role: str, named: MetaFile, kind: type[T], delegator: Root | Targets
    ) -> Metadata[T]:
        name = metadata_object(role, named.version)
        body = self._store.read(name, METADATA_MAX_BYTES)
        if body is None:
            raise UntrustedError(f"{name} is missing")
        check_content(body, named, what=name)
        metadata = decode_metadata(body, kind, what=name)
        check_signed(delegator, role, metadata, what=name)
        return metadata

    def _load_root(self) -> Root:
        """Follow the chain of roots from the last one known to its end."""
        root = self._root or self._next_root(None)
        while root is not None:
            self._root = root
            root = self._next_root(root)
        if self._root is None:
            raise UntrustedError(f"{metadata_object(ROOT, 1)} is missing")
        return self._root

    def _next_root(self, before: Root | None) -> Root | None:
        """Read the root after `before`, signed by both; the first by itself."""
        name = metadata_object(ROOT, before.version + 1 if before else 1)
        body = self._store.read(name, METADATA_MAX_BYTES)
        if body is None:
            return None
        metadata = decode_metadata(body, Root, what=name)
        for delegator in (before or metadata.signed, metadata.signed):
            check_signed(delegator, ROOT, metadata, what=name)
        return metadata.signed


@contextmanager
def _whole_or_a_person() -> Iterator[None]:
    """Turn metadata that nobody vouches for into a fault of the bucket.

    It is not the message's: that must not be acknowledged and so be lost.
    """
    try:
        yield
    except UntrustedError as error:
        raise UpstreamRefusedError(
            f"the repository in the bucket is broken, a person must look: {error}"
        ) from error
