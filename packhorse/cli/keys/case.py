"""One metadata file that waits for signatures: what it changes, who must sign it.

Who may sign stands in other metadata: a root is signed by the keys of the root
before it and by its own, targets and the online roles by root's, a delegated role
by those that targets name. They are looked for in the folder that the keyholder
trusts: his own copy of the repository, or else the folder of the file itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuf.api.metadata import TOP_LEVEL_ROLE_NAMES, Root, Signed, Targets

from packhorse.ceremony import Quorum, quorum
from packhorse.cli.failure import CommandError
from packhorse.cli.keys.files import (
    Found,
    read_latest,
    read_metadata,
    version_of,
    versions,
)
from packhorse.cli.keys.words import as_json, changes
from packhorse.trust_root import ROOT, TARGETS, metadata_file


@dataclass(frozen=True, slots=True)
class Case:
    """A file, the version before it, and the sets of keys that must agree to it.

    Attributes:
        before: None for the first version of a role.
        delegators: Who names the keys; the last one is who will in the end.
    """

    file: Found
    before: Found | None
    delegators: Sequence[Root | Targets]

    @property
    def quorums(self) -> Sequence[Quorum]:
        """Say of each set of keys who has signed."""
        metadata = self.file.metadata
        return [quorum(metadata, self.file.role, each) for each in self.delegators]

    @property
    def must_agree(self) -> Sequence[Quorum]:
        """Return those without which the file is worth nothing.

        A root needs both. Targets that go with the next root need its keys alone,
        and those of the root in force where nobody is to notice the change.
        """
        found = self.quorums
        return found if self.file.role == ROOT else found[-1:]

    @property
    def is_whole(self) -> bool:
        """Say whether enough have signed."""
        return all(each.is_met for each in self.must_agree)

    @property
    def was_whole(self) -> bool:
        """Say whether it was whole once: a newer root may name other keys now."""
        if self.file.role == ROOT:
            return self.is_whole
        return any(each.is_met for each in self.quorums)

    def changes(self) -> list[str]:
        """Say what the file changes."""
        return changes(self.before, self.file)

    def document(self) -> dict[str, object]:
        """Say to a program what the file is, what it changes and who has signed."""
        return {
            "file": str(self.file.path),
            "role": self.file.role,
            "version": self.file.signed.version,
            "expires": self.file.signed.expires.isoformat(),
            "changes": self.changes(),
            "quorums": [as_json(each) for each in self.quorums],
        }


def open_case(file: Found, trusted: Path) -> Case:
    """Find what a file is judged by in the folder `trusted`.

    Raises:
        CommandError: It is not there, or is not what its keys signed.
    """
    before = _before(file, trusted)
    if file.role == ROOT:
        delegators = [before.signed] if before else []
        return Case(file, before, _as_delegators([*delegators, file.signed], file))
    is_top = file.role in TOP_LEVEL_ROLE_NAMES
    return Case(file, before, _as_delegators(_newest(trusted, is_top=is_top), file))


def check_is_new(file: Found, trusted: Path) -> None:
    """Refuse a file whose number is used for another in the folder `trusted`.

    Two files of one number, both signed, would let a thief show each gateway the
    one that he likes; and an older one is worth nothing, or was forged.

    Raises:
        CommandError: It is.
    """
    newest = versions(trusted, file.role)[:1]
    if not newest or version_of(newest[0]) < version_of(file.path):
        return
    twin = trusted / file.path.name
    if not (twin.exists() and _is_same(read_metadata(twin), file)):
        raise CommandError(
            f"{trusted} holds {newest[0].name} already, and {file.path} is older "
            "or another: sign neither. Copy the bucket again, and have the change "
            "prepared from there"
        )


def _is_same(one: Found, other: Found) -> bool:
    return bool(one.metadata.signed_bytes == other.metadata.signed_bytes)


def check_own_keys(root: Found) -> None:
    """Refuse a root that its own keys did not sign: it proves nothing of another.

    Raises:
        CommandError: They did not.
    """
    signed = root.signed
    if isinstance(signed, Root) and not quorum(root.metadata, ROOT, signed).is_met:
        raise CommandError(
            f"{root.path} is not signed by its own keys, so it is no proof"
        )


def _before(file: Found, trusted: Path) -> Found | None:
    version = file.signed.version
    if version == 1 or not versions(trusted, file.role):
        if version != 1:
            raise CommandError(_missing(file, trusted))
        return None
    if file.role != ROOT:
        return read_latest(trusted, file.role, below=version)
    path = trusted / metadata_file(ROOT, version - 1)
    if not path.exists():
        raise CommandError(_missing(file, trusted))
    before = read_metadata(path)
    check_own_keys(before)
    return before


def _missing(file: Found, trusted: Path) -> str:
    return (
        f"{trusted} must hold the {file.role} before version {file.signed.version}: "
        "without it nobody can say what changes, or who must agree. Copy the bucket's "
        "metadata again"
    )


def _newest(trusted: Path, *, is_top: bool) -> Iterator[Signed]:
    """Yield the two newest roots, or targets, in the order of their versions."""
    role = ROOT if is_top else TARGETS
    for path in reversed(versions(trusted, role)[:2]):
        yield read_metadata(path).signed


def _as_delegators(found: Iterable[Signed], file: Found) -> Sequence[Root | Targets]:
    """Keep those that name keys for the role; of equals only the last."""
    kept: dict[tuple[object, ...], Root | Targets] = {}
    for each in found:
        if isinstance(each, Root | Targets) and _names(each, file.role):
            role = each.get_delegated_role(file.role)
            keys = (*sorted(role.keyids), role.threshold)
            kept.pop(keys, None)
            kept[keys] = each
    if not kept:
        raise CommandError(
            f"nothing in the folder says who may sign {file.path.name}; put the root "
            "beside it, and for a delegated role the targets"
        )
    return list(kept.values())


def _names(delegator: Root | Targets, role: str) -> bool:
    try:
        delegator.get_delegated_role(role)
    except ValueError:
        return False
    return True
