"""The next version of a role's metadata: signed, and written once.

Source: docs/protocol.md, 8 "The repository"
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from functions.adapters.signing import sign
from functions.adapters.storage import ObjectStore
from functions.adapters.tuf_reader import State
from functions.errors import SettingsError, UpstreamUnavailableError
from functions.release.metadata import TIMESTAMP_OBJECT, metadata_object, renew
from packhorse.signers import Signers
from packhorse.trust_root import SNAPSHOT, TIMESTAMP

JSON = "application/json"
IMMUTABLE = "public, max-age=31536000, immutable"
"""For objects whose name is never used for another content."""
ORPHANS_MAX = 256
"""Versions that crashes and lost races left since the last good one."""

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


class TufWriter:
    """Signs with the keys of one function, and writes to one bucket."""

    def __init__(
        self,
        store: ObjectStore,
        key_uris: Mapping[str, str],
        signers: Signers,
        *,
        now: Callable[[], datetime],
    ) -> None:
        """Write to `store`, signing as each role with the key that it is given."""
        self._store = store
        self._key_uris = key_uris
        self._signers = signers
        self._now = now

    def write(self, name: str, body: bytes) -> bool:
        """Write an object whose name is used for this content only."""
        return self._store.write_once(
            name,
            body,
            length_bytes=len(body),
            content_type=JSON,
            cache_control=IMMUTABLE,
        )

    def write_next(
        self, metadata: Metadata[T], role: str, delegator: Root | Targets
    ) -> MetaFile:
        """Sign and write the next version whose number nobody used.

        Raises:
            SettingsError: The key of this function is none of the role's.
            UpstreamUnavailableError: Not written, or perhaps; safe to repeat.
        """
        for _ in range(ORPHANS_MAX):
            self._sign_next(metadata, role, delegator)
            body = metadata.to_bytes()
            if self.write(metadata_object(role, metadata.signed.version), body):
                return MetaFile.from_data(metadata.signed.version, body, ["sha256"])
        raise UpstreamUnavailableError(f"{ORPHANS_MAX} versions of {role} are orphans")

    def write_snapshot(self, state: State) -> None:
        """Write the next snapshot; nobody names it yet."""
        state.timestamp.signed.snapshot_meta = self.write_next(
            state.snapshot, SNAPSHOT, state.root
        )

    def write_timestamp(self, state: State) -> bool:
        """Make everything written before count, unless another writer was first."""
        self._sign_next(state.timestamp, TIMESTAMP, state.root)
        return self._store.write_if_generation(
            TIMESTAMP_OBJECT, state.timestamp.to_bytes(), state.generation
        )

    def _sign_next(
        self, metadata: Metadata[T], role: str, delegator: Root | Targets
    ) -> None:
        renew(metadata.signed, role, at=self._now())
        sign(metadata, role, delegator, self._key_uri(role), self._signers)

    def _key_uri(self, role: str) -> str:
        uri = self._key_uris.get(role)
        if uri is None:
            raise SettingsError(f"no setting names a key for the role {role}")
        return uri
