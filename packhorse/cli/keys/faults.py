"""What nobody should sign: it would lock everybody out, or hide who is trusted.

A file is prepared by people and travels on a stick, so it may be wrong by mistake or
by intent. What is said of it here would make gateways or functions refuse all that
comes after; or lets a key stand under an id that is not its own, so that who reads
the change is shown a key that he knows while another is trusted.
"""

from collections.abc import Iterator
from datetime import datetime

from tuf.api.metadata import Role, Root, Signed

from packhorse.ceremony import keys_of, roles_of
from packhorse.cli.failure import CommandError
from packhorse.cli.keys.files import Found
from packhorse.signers import has_own_id, public_text
from packhorse.trust_root import ROOT, TARGETS

_SEVERAL = (ROOT, TARGETS)
"""Signed by people; for every other role a function signs, and holds one key."""


def check_sound(found: Found, *, now: datetime) -> None:
    """Refuse metadata that nobody should sign.

    Raises:
        CommandError: It says every reason.
    """
    reasons = list(_faults(found.signed, now))
    if reasons:
        raise CommandError(
            f"{found.path.name} must not be signed: {'; '.join(reasons)}. "
            "Have it prepared anew"
        )


def _faults(signed: Signed, now: datetime) -> Iterator[str]:
    if signed.is_expired(now):
        yield f"it has expired, on {signed.expires:%F %R} UTC"
    if isinstance(signed, Root) and not signed.consistent_snapshot:
        yield "consistent_snapshot must be true, else gateways find no bundle"
    for key in keys_of(signed).values():
        if not has_own_id(key):
            yield f"the key {key.keyid} is ANOTHER KEY than its id says, or none"
    for name, role in roles_of(signed).items():
        yield from _faults_of_role(signed, name, role)


def _faults_of_role(signed: Signed, name: str, role: Role) -> Iterator[str]:
    keys = keys_of(signed)
    for keyid in role.keyids:
        if keyid not in keys:
            yield f"{name} names the key {keyid}, which is not in the file"
    # Gateways count keys, not ids.
    count = len({public_text(keys[keyid]) for keyid in role.keyids if keyid in keys})
    if role.threshold > count:
        yield (
            f"{name} would want {role.threshold} signatures from {count} keys, "
            "which is not possible"
        )
    elif role.threshold > 1 and name not in _SEVERAL:
        yield f"{name} must want 1 signature: a function signs it, with one key"
