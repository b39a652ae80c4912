"""Verify what the bucket says about rollouts: TUF's checks, without the reading.

A check is a generator. It yields the name of the next object that it needs and how
long that may be, and is sent its bytes; whoever drives it does the reading
(`rollout_reader.py`), and imports this module only once there is something to
verify: python-tuf takes memory and time, and some functions follow no rollout.

Signatures, hashes and versions are judged here. Expiry is only told: the one who
reads is a detector (docs/adr/0022-the-proxy-counts-before-it-refuses.md).

Source: docs/protocol.md, 4 and 8; The Update Framework, 1.0.34, 5.3 to 5.7
"""

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from functions.release.metadata import (
    TIMESTAMP_OBJECT,
    check_content,
    check_signed,
    decode_metadata,
    metadata_object,
    target_object,
)
from packhorse.assignment import (
    ROLLOUT_MAX_BYTES,
    RolloutDocument,
    decode_rollout,
    rollout_target,
)
from packhorse.errors import LimitExceededError, UntrustedError
from packhorse.names import SHA256
from packhorse.trust_root import (
    METADATA_MAX_BYTES,
    ROLLOUTS,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
)

ROOT_MAX_BYTES = 512_000
ROOTS_MAX = 64
"""New roots that one check follows; the next one goes on from there."""

T = TypeVar("T", Snapshot, Targets)


class Wanted(NamedTuple):
    """An object of the bucket that a check needs, and how long it may be."""

    name: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What the signed repository says.

    Attributes:
        documents: The rollout of each model that has one.
        valid_until: When the first of the roles expires that vouch for it.
    """

    documents: Mapping[str, RolloutDocument]
    valid_until: datetime


Check = Generator[Wanted, bytes | None, Verified]
Reading = Generator[Wanted, bytes | None, bytes]


class _Accepted(NamedTuple):
    """A document, and the keys of the role that vouched for it."""

    document: RolloutDocument
    keyids: frozenset[str]


class RolloutTrust:
    """What was verified last. It is added to, and never goes back."""

    def __init__(self, root: bytes) -> None:
        """Begin with the root that was shipped with the function.

        Raises:
            UntrustedError: It is none.
        """
        metadata = decode_metadata(root, Root, what="the root that was shipped")
        check_signed(metadata.signed, ROOT, metadata, what="the root that was shipped")
        self._root = metadata.signed
        self._timestamp: Timestamp | None = None
        self._snapshot: Snapshot | None = None
        self._accepted: dict[str, _Accepted] = {}
        self._known: Mapping[str, bytes] = {}
        self._used: dict[str, bytes] = {}

    def check(self, timestamp: bytes, models: Sequence[str]) -> Check:
        """Verify what `timestamp` leads to, and return what it says of `models`.

        What was verified before something failed stays: it is never rolled back.
        """
        self._used = {}
        yield from self._follow_roots()
        trusted = self._take_timestamp(timestamp)
        snapshot = yield from self._take_snapshot(trusted)
        targets = yield from self._read(TARGETS, _named(snapshot, TARGETS), Targets)
        check_signed(self._root, TARGETS, targets, what=TARGETS)
        rollouts = yield from self._read(ROLLOUTS, _named(snapshot, ROLLOUTS), Targets)
        check_signed(targets.signed, ROLLOUTS, rollouts, what=ROLLOUTS)
        documents = yield from self._documents(targets.signed, rollouts.signed, models)
        self._known = self._used
        roles = (self._root, trusted, snapshot, targets.signed, rollouts.signed)
        return Verified(documents, min(role.expires for role in roles))

    def _follow_roots(self) -> Generator[Wanted, bytes | None, None]:
        for _ in range(ROOTS_MAX):
            name = metadata_object(ROOT, self._root.version + 1)
            body = yield Wanted(name, ROOT_MAX_BYTES)
            if body is None:
                return
            self._take_root(_limited(body, name, ROOT_MAX_BYTES), name)

    def _take_root(self, body: bytes, name: str) -> None:
        metadata = decode_metadata(body, Root, what=name)
        for delegator in (self._root, metadata.signed):
            check_signed(delegator, ROOT, metadata, what=name)
        if metadata.signed.version != self._root.version + 1:
            raise UntrustedError(f"{name} says it is {metadata.signed.version}")
        if _online_keys(self._root) - _online_keys(metadata.signed):
            # 5.3.11: who stole a key could count up to the last number there is.
            self._timestamp = self._snapshot = None
        self._root = metadata.signed

    def _take_timestamp(self, body: bytes) -> Timestamp:
        metadata = decode_metadata(body, Timestamp, what=TIMESTAMP_OBJECT)
        check_signed(self._root, TIMESTAMP, metadata, what=TIMESTAMP_OBJECT)
        came, before = metadata.signed, self._timestamp
        if before is not None:
            _check_forward(TIMESTAMP, came.version, before.version)
            _check_forward(
                SNAPSHOT, came.snapshot_meta.version, before.snapshot_meta.version
            )
        self._timestamp = came
        return came

    def _take_snapshot(
        self, timestamp: Timestamp
    ) -> Generator[Wanted, bytes | None, Snapshot]:
        named = timestamp.snapshot_meta
        metadata = yield from self._read(SNAPSHOT, named, Snapshot)
        check_signed(self._root, SNAPSHOT, metadata, what=SNAPSHOT)
        if self._snapshot is not None:
            for role in (TARGETS, ROLLOUTS):
                before = _named(self._snapshot, role).version
                _check_forward(role, _named(metadata.signed, role).version, before)
        self._snapshot = metadata.signed
        return metadata.signed

    def _read(
        self, role: str, named: MetaFile, kind: type[T]
    ) -> Generator[Wanted, bytes | None, Metadata[T]]:
        """Read the version of a role that was named; who signed it is not looked at."""
        name = metadata_object(role, named.version)
        body = yield from self._object(name, METADATA_MAX_BYTES)
        check_content(body, named, what=name)
        metadata = decode_metadata(body, kind, what=name)
        if metadata.signed.version != named.version:
            raise UntrustedError(f"{name} says it is {metadata.signed.version}")
        return metadata

    def _documents(
        self, targets: Targets, rollouts: Targets, models: Sequence[str]
    ) -> Generator[Wanted, bytes | None, Mapping[str, RolloutDocument]]:
        roles = (targets.delegations.roles if targets.delegations else None) or {}
        role = roles[ROLLOUTS]
        found = {}
        for model in models:
            path = rollout_target(model)
            target = rollouts.targets.get(path)
            if target is None or not role.is_delegated_path(path):
                continue
            document = yield from self._document(model, target)
            self._accept(document, frozenset(role.keyids))
            found[model] = document
        return found

    def _document(
        self, model: str, target: TargetFile
    ) -> Generator[Wanted, bytes | None, RolloutDocument]:
        sha256 = target.hashes.get("sha256", "")
        if re.fullmatch(SHA256, sha256) is None:
            raise UntrustedError(f"{target.path} is vouched for without a SHA-256")
        name = target_object(target.path, sha256)
        body = yield from self._object(name, ROLLOUT_MAX_BYTES)
        check_content(body, target, what=target.path)
        document = decode_rollout(body)
        if document.model != model:
            raise UntrustedError(f"the rollout of {model} is about {document.model}")
        return document

    def _accept(self, document: RolloutDocument, keyids: frozenset[str]) -> None:
        """Refuse a document that goes back under the keys of the one before."""
        before = self._accepted.get(document.model)
        if before is not None and before.keyids == keyids:
            _check_forward("rollout", document.sequence, before.document.sequence)
            if set(before.document.withdrawn) - set(document.withdrawn):
                raise UntrustedError(
                    f"the rollout of {document.model} forgets what was withdrawn"
                )
        self._accepted[document.model] = _Accepted(document, keyids)

    def _object(self, name: str, limit_bytes: int) -> Reading:
        """Return an object whose name stands for its content; known ones at once."""
        body = self._known.get(name)
        if body is None:
            body = yield Wanted(name, limit_bytes)
        if body is None:
            raise UntrustedError(f"{name} is missing")
        self._used[name] = _limited(body, name, limit_bytes)
        return body


def step(check: Check, came: bytes | None) -> Wanted | Verified:
    """Send what was wanted into a check; return what it wants next, or its end.

    Args:
        check: Its first step is sent None.
        came: The object's bytes; None where there is no such object.

    Raises:
        UntrustedError: Nobody trusted vouches for what came.
        MalformedError: What they vouch for is no rollout document.
    """
    try:
        return check.send(came)
    except StopIteration as end:
        verified: Verified = end.value
        return verified
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # What python-tuf stumbles over: a key, a name of another type.
        raise UntrustedError("the repository's metadata cannot be read") from error


def _limited(body: bytes, name: str, limit_bytes: int) -> bytes:
    if len(body) > limit_bytes:
        raise LimitExceededError(f"{name} may be {limit_bytes} bytes long")
    return body


def _named(snapshot: Snapshot, role: str) -> MetaFile:
    named = snapshot.meta.get(f"{role}.json")
    if named is None:
        raise UntrustedError(f"the snapshot names no {role}")
    return named


def _check_forward(what: str, came: int, before: int) -> None:
    if came < before:
        raise UntrustedError(f"the {what} must not go back from {before} to {came}")


def _online_keys(root: Root) -> set[tuple[str, str]]:
    roles = (TIMESTAMP, SNAPSHOT)
    return {(role, keyid) for role in roles for keyid in root.roles[role].keyids}
