"""Say what metadata means, and how it differs from the version before.

Whoever signs reads this first. So nothing that changes is left out: what has no
sentence of its own is shown as a field, with both values.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Role, Signed, Targets

from packhorse.ceremony import Quorum, keys_of, roles_of
from packhorse.cli.keys.files import Found
from packhorse.signers import key_name
from packhorse.trust_root import lifetime

SOON = 1 / 6
"""Of a role's lifetime: two months of a root's year."""
_TARGETS_NAMED_MAX = 40
_VALUE_MAX = 200
"""Characters of a field that has no sentence of its own."""
_TOLD = ("version", "expires", "keys.", "targets.")
_TOLD_ENDS = (".keyids", ".threshold")


def changes(before: Found | None, after: Found) -> list[str]:
    """Say in sentences what `after` changes; without a version before, all it says."""
    if before is None:
        return [*_roles(after.signed), *_contents(after.signed, {}), _until(after)]
    old, new = before.signed, after.signed
    lines = [
        *(line for n, r in roles_of(new).items() for line in _change(old, new, n, r)),
        *(
            f"{name}: trusted no more"
            for name in roles_of(old)
            if name not in roles_of(new)
        ),
        *_exchanged(old, new),
        *_contents(new, getattr(old, "targets", {})),
        *_dropped(old, new),
        *_other_fields(old, new),
        f"{_until(after)}, was until {_day(old.expires)}",
    ]
    return lines if len(lines) > 1 else ["nothing but the dates changes", *lines]


def asked(quorum: Quorum) -> str:
    """Say how many have signed, and who may still."""
    signed, wanted = len(quorum.signed), quorum.threshold
    by = ", ".join(key_name(key) for key in quorum.signed) or "nobody"
    line = f"by the keys of {quorum.by}: {signed} of {wanted} signatures ({by})"
    if quorum.is_met:
        return f"{line}, enough"
    missing = ", ".join(key_name(key) for key in quorum.missing)
    return f"{line}; {wanted - signed} more of {missing}"


def as_json(quorum: Quorum) -> dict[str, object]:
    """Return a quorum as a document."""
    return {
        "by": quorum.by,
        "threshold": quorum.threshold,
        "signed": [key_name(key) for key in quorum.signed],
        "missing": [key_name(key) for key in quorum.missing],
        "is_met": quorum.is_met,
    }


def role_lines(signed: Signed, name: str, role: Role) -> Iterator[str]:
    """Say who may sign for a role."""
    yield f"{name}: {role.threshold} of {len(role.keyids)} keys"
    keys = keys_of(signed)
    for keyid in role.keyids:
        yield f"  {_whole_name(keys, keyid)}"
    if paths := role_paths(role):
        yield f"  vouches for {' '.join(paths)}"


def role_paths(role: Role) -> list[str]:
    """Return what a delegated role may vouch for."""
    return (role.paths or []) if isinstance(role, DelegatedRole) else []


def validity(name: str, signed: Signed, now: datetime) -> str:
    """Say until when metadata is valid, and whether that is soon."""
    verb = "expired on" if signed.is_expired(now) else "is valid until"
    line = f"{name} {signed.version} {verb} {_day(signed.expires)}"
    if signed.is_expired(now):
        return f"{line}: gateways accept nothing new until it is renewed"
    left = signed.expires - now
    return (
        f"{line}: renew it, {_span(left)} left" if is_soon(name, signed, now) else line
    )


def is_soon(name: str, signed: Signed, now: datetime) -> bool:
    """Say whether it is time that somebody renews it."""
    return signed.expires - now < lifetime(name) * SOON


def _span(left: timedelta) -> str:
    hours = int(left.total_seconds() // 3600)
    return f"{left.days} days" if left.days else f"{hours} hours"


def _roles(signed: Signed) -> Iterator[str]:
    for name, role in roles_of(signed).items():
        yield from role_lines(signed, name, role)


def _change(old: Signed, new: Signed, name: str, role: Role) -> Iterator[str]:
    before = roles_of(old).get(name)
    if before is None:
        yield f"{name}: new"
        yield from role_lines(new, name, role)
        return
    had, has = keys_of(old), keys_of(new)
    for keyid in before.keyids:
        if keyid not in role.keyids:
            yield f"{name}: takes out {_whole_name(had, keyid)}"
    for keyid in role.keyids:
        if keyid not in before.keyids:
            yield f"{name}: adds {_whole_name(has, keyid)}"
    if before.threshold != role.threshold:
        yield (
            f"{name}: {role.threshold} of {len(role.keyids)} keys must agree, "
            f"were {before.threshold} of {len(before.keyids)}"
        )


def _whole_name(keys: Mapping[str, Key], keyid: str) -> str:
    """Say a key's name and its whole id: eight digits of one can be imitated."""
    key = keys.get(keyid)
    return f"{key_name(key)} {keyid}" if key else f"{keyid}, which is NOT IN THE FILE"


def _exchanged(old: Signed, new: Signed) -> Iterator[str]:
    """Name keys that people call something else now; an id stands for one key."""
    for keyid, key in keys_of(new).items():
        before = keys_of(old).get(keyid)
        if before is not None and before.to_dict() != key.to_dict():
            yield f"{key_name(before)} is called {key_name(key)} now"


def _contents(new: Signed, before: Mapping[str, object]) -> Iterator[str]:
    """Name what a targets file vouches for that was not vouched for before."""
    targets = new.targets if isinstance(new, Targets) else {}
    added = [path for path, target in targets.items() if before.get(path) != target]
    yield from (f"vouches for {path}" for path in added[:_TARGETS_NAMED_MAX])
    if len(added) > _TARGETS_NAMED_MAX:
        yield f"vouches for {len(added) - _TARGETS_NAMED_MAX} more"


def _dropped(old: Signed, new: Signed) -> Iterator[str]:
    if isinstance(old, Targets) and isinstance(new, Targets):
        for path in old.targets:
            if path not in new.targets:
                yield f"no longer vouches for {path}"


def _other_fields(old: Signed, new: Signed) -> Iterator[str]:
    had, has = dict(_fields(old.to_dict())), dict(_fields(new.to_dict()))
    for name in sorted({*had, *has}):
        short = name.removeprefix("delegations.")
        is_told = short.startswith(_TOLD) or short.endswith(_TOLD_ENDS)
        is_new_role = short.startswith("roles.") and _role(short, old) is None
        if had.get(name) != has.get(name) and not is_told and not is_new_role:
            yield f"{name}: {_short(has.get(name))}, was {_short(had.get(name))}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}... (cut)"


def _role(field: str, signed: Signed) -> Role | None:
    return roles_of(signed).get(field.split(".")[1])


def _fields(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield every field of a document; a list of named things goes by their names."""
    if isinstance(value, list) and all(
        isinstance(v, dict) and "name" in v for v in value
    ):
        value = {str(each["name"]): each for each in value}
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _fields(each, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _until(found: Found) -> str:
    return f"{found.title} is valid until {_day(found.signed.expires)}"


def _day(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%F %R} UTC"
