"""Changes to who is trusted: the next root, targets or role, not yet signed.

A ceremony makes the next version of one metadata file, which then travels from
keyholder to keyholder. This module makes it, and says who must sign it. It reads
no clock, no key file and no disk; the words that people see are in
`cli/keys/words.py`.

Source: TUF specification 1.0.31, 4.3, 4.5 and 6.1 "Key management and migration"
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key
from tuf.api.metadata import (
    TOP_LEVEL_ROLE_NAMES,
    Delegations,
    Metadata,
    Role,
    Root,
    Signed,
    Snapshot,
    Targets,
    Timestamp,
)

from packhorse.errors import MalformedError
from packhorse.signers import is_same_key, key_name, public_text
from packhorse.trust_root import delegated_role, release_role

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)
AnyMetadata = (
    Metadata[Root] | Metadata[Targets] | Metadata[Snapshot] | Metadata[Timestamp]
)


@dataclass(frozen=True, slots=True)
class RoleChange:
    """What changes for one role.

    Attributes:
        add: Keys trusted from now on.
        remove: Keys trusted no more, each by its name or the beginning of its id.
        replaces_all: Whether every key that is not in `add` goes.
        threshold: So many of the keys must agree; None leaves it.
    """

    add: Sequence[Key] = ()
    remove: Sequence[str] = ()
    replaces_all: bool = False
    threshold: int | None = None


@dataclass(frozen=True, slots=True)
class Quorum:
    """One set of keys that must agree to a file, and who of them did.

    Attributes:
        by: Who names the keys, such as `root 3`.
        signed: Those whose signature is there and good.
        missing: Those who have not signed.
    """

    by: str
    threshold: int
    signed: Sequence[Key]
    missing: Sequence[Key]

    @property
    def is_met(self) -> bool:
        """Say whether enough have signed."""
        return len(self.signed) >= self.threshold


def next_version(before: Metadata[T], *, expires: datetime) -> Metadata[T]:
    """Return an unsigned copy: one version later, valid until `expires`."""
    signed = copy.deepcopy(before.signed)
    signed.version += 1
    signed.expires = expires
    return Metadata(signed)


def change_root(
    before: Metadata[Root], changes: Mapping[str, RoleChange], *, expires: datetime
) -> Metadata[Root]:
    """Make the next root.

    Raises:
        MalformedError: A change names no key or role that there is, gives a key to
            two roles, or leaves a role that nobody can sign for.
    """
    after = next_version(before, expires=expires)
    for role, change in changes.items():
        if role not in TOP_LEVEL_ROLE_NAMES:
            raise MalformedError(
                f"root knows the roles {', '.join(sorted(TOP_LEVEL_ROLE_NAMES))}; "
                f"{role!r} is delegated to by targets, if at all"
            )
        _change_role(after.signed, role, change)
    _check_no_key_twice(after.signed.roles, after.signed.keys)
    return after


def change_targets(
    before: Metadata[Targets],
    changes: Mapping[str, RoleChange],
    delegate: Mapping[str, Key],
    *,
    expires: datetime,
) -> Metadata[Targets]:
    """Make the next top-level targets.

    Args:
        before: The version in force.
        changes: By delegated role.
        delegate: The release key of each model that may be released from now on.
        expires: When it ends (UTC).

    Raises:
        MalformedError: As for `change_root`, or a model has a role already.
    """
    after = next_version(before, expires=expires)
    delegations = after.signed.delegations or Delegations({}, {})
    after.signed.delegations = delegations
    roles = delegations.roles
    if roles is None:
        raise MalformedError("these targets delegate to hash bins, which are not ours")
    for model, key in delegate.items():
        role = release_role(model)
        if role in roles:
            raise MalformedError(f"there is a role {role} already; change its keys")
        roles[role] = delegated_role(role, [])
        after.signed.add_key(key, role)
    for role, change in changes.items():
        if role not in roles:
            raise MalformedError(f"targets delegate to {', '.join(roles)}, not {role}")
        _change_role(after.signed, role, change)
    _check_no_key_twice(roles, delegations.keys)
    return after


def drop_targets(
    before: Metadata[Targets], paths: Collection[str], *, expires: datetime
) -> Metadata[Targets]:
    """Make the next version of a delegated role, which vouches for less.

    Raises:
        MalformedError: It did not vouch for one of `paths`.
    """
    after = next_version(before, expires=expires)
    for path in paths:
        if after.signed.targets.pop(path, None) is None:
            raise MalformedError(f"nothing of the name {path} is vouched for there")
    return after


def quorum(metadata: AnyMetadata, role: str, delegator: Root | Targets) -> Quorum:
    """Say who of `delegator`'s keys for `role` has signed `metadata`."""
    named = delegator.get_delegated_role(role)
    payload = metadata.signed_bytes
    known = keys_of(delegator)
    # Each key once, as gateways count them, whatever ids it has.
    once = {
        public_text(known[each]): known[each] for each in named.keyids if each in known
    }
    keys = list(once.values())
    signed = [key for key in keys if _has_signed(metadata, key, payload)]
    return Quorum(
        by=f"{delegator.type} {delegator.version}",
        threshold=named.threshold,
        signed=signed,
        missing=[key for key in keys if key not in signed],
    )


def keys_of(signed: Signed) -> Mapping[str, Key]:
    """Return every key that a root or targets file names, by id."""
    if isinstance(signed, Root):
        return signed.keys
    if isinstance(signed, Targets) and signed.delegations:
        return signed.delegations.keys
    return {}


def roles_of(signed: Signed) -> Mapping[str, Role]:
    """Return every role that a root or targets file gives keys to."""
    if isinstance(signed, Root):
        return signed.roles
    if isinstance(signed, Targets) and signed.delegations:
        return signed.delegations.roles or {}
    return {}


def _has_signed(metadata: AnyMetadata, key: Key, payload: bytes) -> bool:
    signature = metadata.signatures.get(key.keyid)
    if signature is None:
        return False
    try:
        key.verify_signature(signature, payload)
    except UnverifiedSignatureError:
        return False
    return True


def _change_role(signed: Root | Targets, role: str, change: RoleChange) -> None:
    named = signed.get_delegated_role(role)
    gone = [_find(signed, role, each) for each in change.remove]
    if change.replaces_all:
        gone += [key for key in _keys(signed, role) if not _is_in(key, change.add)]
    for key in gone:
        if key.keyid in named.keyids:
            signed.revoke_key(key.keyid, role)
    for key in change.add:
        if not _is_in(key, _keys(signed, role)):
            signed.add_key(key, role)
    if change.threshold is not None:
        named.threshold = change.threshold
    if not 1 <= named.threshold <= len(named.keyids):
        raise MalformedError(
            f"{named.threshold} signatures for {role} from {len(named.keyids)} keys "
            "is not possible; give it a threshold that is, or more keys"
        )


def _keys(signed: Root | Targets, role: str) -> list[Key]:
    named = signed.get_delegated_role(role)
    return [signed.get_key(keyid) for keyid in named.keyids]


def _is_in(key: Key, keys: Collection[Key]) -> bool:
    return any(is_same_key(key, other) for other in keys)


def _find(signed: Root | Targets, role: str, name: str) -> Key:
    """Return the one key of a role that is called so."""
    keys = _keys(signed, role)
    found = [
        key
        for key in keys
        if name == key_name(key).partition(" ")[0] or key.keyid.startswith(name)
    ]
    if len(found) != 1:
        known = ", ".join(key_name(key) for key in keys)
        raise MalformedError(
            f"{role} has {len(found)} keys called {name!r}; it has {known}"
        )
    return found[0]


def _check_no_key_twice(roles: Mapping[str, Role], keys: Mapping[str, Key]) -> None:
    """Refuse one key for two roles: whoever stole it would have both."""
    owners: dict[str, str] = {}
    for role, named in roles.items():
        for keyid in named.keyids:
            pem = public_text(keys[keyid]).strip()
            if owners.setdefault(pem, role) != role:
                raise MalformedError(
                    f"the key {key_name(keys[keyid])} is {owners[pem]}'s; "
                    f"{role} must have one of its own"
                )
