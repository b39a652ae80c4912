"""The signed repository in the bucket: read, changed, signed, written.

Everything but `timestamp.json` is written once and never changed, and
`timestamp.json` last, under the generation that was read. So a reader finds a
whole repository at any moment, of two writers at once the slower one starts
again on what the faster one left, and what a crash leaves before the last step
is named by nobody: the next writer skips its version number.

Source: docs/protocol.md, 8 "The repository"; TUF specification 1.0.31, 6.2
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Targets

from functions.adapters.storage import ObjectStore
from functions.adapters.tuf_reader import State, TufReader
from functions.adapters.tuf_succession import follow
from functions.adapters.tuf_writer import TufWriter
from functions.errors import UpstreamRefusedError, UpstreamUnavailableError
from functions.release.metadata import (
    add_release,
    add_rollout,
    is_due,
    target_object,
)
from packhorse.assignment import BundleRef, rollout_target
from packhorse.errors import UntrustedError
from packhorse.names import Release
from packhorse.signers import Signers
from packhorse.trust_root import ROLLOUTS, SNAPSHOT, TIMESTAMP, release_role

RACES_MAX = 12
"""Writers at once are one a model and two schedules; each race has a winner."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What the repository is after a refresh.

    Attributes:
        version: Of the timestamp that stands there now or later.
        root_expires: When keyholders must have signed another root.
        targets_expires: When they must have signed other targets.
        waiting: Roles that newer targets wait for; see `tuf_succession.py`.
    """

    version: int
    root_expires: datetime
    targets_expires: datetime
    waiting: Sequence[str]


class TufRepository:
    """The repository in one bucket, and the keys that this function may use."""

    def __init__(
        self,
        store: ObjectStore,
        key_uris: Mapping[str, str],
        *,
        now: Callable[[], datetime],
        signers: Signers | None = None,
    ) -> None:
        """Work in `store`, signing as each role with the key that it is given.

        Args:
            store: The bucket that holds `metadata/` and `targets/`.
            key_uris: Private key URI by role, for the roles of this function.
            now: The clock (UTC), for expiries.
            signers: Opens the keys; where Cloud KMS is, they know.
        """
        self._reader = TufReader(store)
        self._writer = TufWriter(store, key_uris, signers or Signers(), now=now)
        self._roles = [role for role in key_uris if role not in {SNAPSHOT, TIMESTAMP}]
        self._now = now

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
            self._writer.write(name, document)
            return True

        return self._publish(ROLLOUTS, change)

    def refresh_timestamp(self) -> Refreshed:
        """Sign a new timestamp, and a new snapshot where the old one grows old.

        Raises:
            UpstreamUnavailableError: Not refreshed now; safe to call again.
        """
        state = self._open()
        if state.is_changed or is_due(state.snapshot.signed, SNAPSHOT, at=self._now()):
            self._writer.write_snapshot(state)
        # A lost race means that another writer has just signed a newer one.
        self._writer.write_timestamp(state)
        return Refreshed(
            version=state.timestamp.signed.version,
            root_expires=state.root.expires,
            targets_expires=state.targets.signed.expires,
            waiting=state.waiting,
        )

    def renew_roles(self) -> Sequence[str]:
        """Sign anew the roles of this function in which nothing happens.

        Half of a role's lifetime passes before it is renewed, so a repository that
        nobody publishes to stays valid without anybody's doing.

        Returns:
            The roles that were renewed.

        Raises:
            UpstreamUnavailableError: Perhaps renewed; safe to call again.
        """
        state = self._open()
        named = [role for role in self._roles if state.named(role) is not None]
        return [role for role in named if self._publish(role, self._is_due(role))]

    def _is_due(self, role: str) -> Callable[[Targets], bool]:
        return lambda known: is_due(known, role, at=self._now())

    def _publish(self, role: str, change: Callable[[Targets], bool]) -> bool:
        for _ in range(RACES_MAX):
            state = self._open()
            with _whole_or_a_person():
                metadata = self._reader.load_role(state, role)
            is_new = change(metadata.signed)
            if is_new:
                named = self._writer.write_next(metadata, role, state.targets.signed)
                state.name(role, named)
            if not state.is_changed:
                return False
            self._writer.write_snapshot(state)
            if self._writer.write_timestamp(state):
                return is_new
        raise UpstreamUnavailableError(
            f"{RACES_MAX} other publications came first, one after another"
        )

    def _open(self) -> State:
        """Read what stands in the bucket, and follow what keyholders decided."""
        with _whole_or_a_person():
            state = self._reader.load()
            follow(state, self._reader, self._writer, now=self._now())
        return state


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
