"""`packhorse keys change`: prepare the next root, targets or role, to be signed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from securesystemslib.signer import Key
from tuf.api.metadata import Root, Targets

from packhorse.ceremony import (
    AnyMetadata,
    RoleChange,
    change_root,
    change_targets,
    drop_targets,
)
from packhorse.cli import output
from packhorse.cli.keys.case import open_case
from packhorse.cli.keys.faults import check_sound
from packhorse.cli.keys.files import (
    Found,
    copy_beside,
    read_metadata,
    version_of,
    versions,
    write_prepared,
)
from packhorse.cli.keys.in_force import (
    check_keys_apart,
    named_role,
    newest_root,
    newest_targets,
    of_kind,
)
from packhorse.cli.keys.options import (
    FOLDER,
    OLD_FOLDER,
    by_role,
    key_failures,
    pairs_option,
    read_thresholds,
    signers_option,
)
from packhorse.cli.keys.words import asked
from packhorse.cli.options import Command, examples, grouped
from packhorse.signers import Signers
from packhorse.trust_root import ROOT, TARGETS, lifetime, metadata_file

_DAYS_MAX = 3650
Pairs = Sequence[tuple[str, str]]


@click.group(
    epilog=examples(
        "packhorse keys change root metadata --out stick",
        "packhorse keys change root metadata --out stick "
        "--replace-key timestamp=gcpkms:...",
        "packhorse keys change targets metadata --out stick "
        "--delegate digits=gcpkms:...",
        "packhorse keys change role release-magika metadata --out stick "
        "--drop bundles/magika/9/fp32.tar",
    )
)
def change() -> None:
    """Prepare the next version of root, targets or a role; keyholders sign it.

    REPOSITORY is a copy of the bucket's metadata/. What is prepared goes to --out,
    with what it is judged by, and travels from there. Without any other option
    only the expiry is extended.
    """


def _places(command: Command) -> Command:
    for option in (
        click.option(
            "--days",
            type=click.IntRange(1, _DAYS_MAX),
            help="Valid for so many days from now; else as long as new metadata.",
        ),
        click.option("--out", type=FOLDER, required=True, help="Folder to write to."),
        click.argument("repository", type=OLD_FOLDER),
    ):
        command = option(command)
    return output.json_option(command)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to change, by role, and how further keys are opened."""

    changes: Mapping[str, RoleChange]
    signers: Signers


def _read_asked(
    signers: Signers,
    add_key: Pairs,
    remove_key: Pairs,
    replace_key: Pairs,
    threshold: Pairs,
) -> _Asked:
    added, replacing = by_role(add_key), by_role(replace_key)
    removed, thresholds = by_role(remove_key), read_thresholds(threshold)
    roles = dict.fromkeys([*added, *replacing, *removed, *thresholds])
    changes = {
        role: RoleChange(
            add=_open(signers, [*added.get(role, []), *replacing.get(role, [])]),
            remove=removed.get(role, []),
            replaces_all=role in replacing,
            threshold=thresholds.get(role),
        )
        for role in roles
    }
    return _Asked(changes, signers)


def _open(signers: Signers, uris: Sequence[str]) -> list[Key]:
    found: list[Key] = []
    for uri in uris:
        with key_failures(uri):
            found.append(signers.public_key(uri))
    return found


def _key_options(command: Command) -> Command:
    return grouped(
        "asked_for",
        _read_asked,
        signers_option,
        pairs_option(
            "--add-key",
            metavar="ROLE=KEY",
            help="Trust one more key: a public key's file, or a URI.",
        ),
        pairs_option(
            "--remove-key",
            metavar="ROLE=NAME",
            help="Trust a key no more; its name, or the beginning of its id.",
        ),
        pairs_option(
            "--replace-key",
            metavar="ROLE=KEY",
            help="Trust this key in place of all others of the role.",
        ),
        pairs_option(
            "--threshold", metavar="ROLE=NUMBER", help="So many of them must agree."
        ),
    )(command)


@change.command(
    epilog=examples(
        "packhorse keys change root metadata --out stick "
        "--replace-key timestamp=gcpkms:...",
        "packhorse keys change root metadata --out stick --remove-key root=anna "
        "--add-key root=dora.pub",
    )
)
@_places
@_key_options
def root(
    *,
    repository: Path,
    out: Path,
    days: int | None,
    asked_for: _Asked,
    as_json: bool,
) -> None:
    """Prepare the next root: keys of root, targets, snapshot and timestamp."""
    before = newest_root(repository)
    expires = _expiry(ROOT, days)
    after = change_root(of_kind(before, Root), asked_for.changes, expires=expires)
    check_keys_apart(after.signed, repository, TARGETS)
    _prepare(out, before, after, [before.path], as_json=as_json)


@change.command(
    epilog=examples(
        "packhorse keys change targets metadata --out stick "
        "--delegate digits=gcpkms:...",
        "packhorse keys change targets metadata --out stick "
        "--replace-key rollouts=gcpkms:...",
    )
)
@_places
@_key_options
@pairs_option(
    "--delegate",
    metavar="MODEL=KEY",
    help="Let a model be released, its bundles vouched for by this key.",
)
def targets(  # noqa: PLR0913 - the options of the command
    *,
    repository: Path,
    out: Path,
    days: int | None,
    asked_for: _Asked,
    delegate: Pairs,
    as_json: bool,
) -> None:
    """Prepare the next targets: keys of rollouts and release roles, new models."""
    before = newest_targets(repository)
    expires = _expiry(TARGETS, days)
    added = {m: _open(asked_for.signers, [uri])[0] for m, uri in delegate}
    known = of_kind(before, Targets)
    after = change_targets(known, asked_for.changes, added, expires=expires)
    check_keys_apart(after.signed, repository, ROOT)
    beside = [before.path, *versions(repository, ROOT)[:2]]
    _prepare(out, before, after, beside, as_json=as_json)


@change.command(
    epilog=examples(
        "packhorse keys change role release-magika metadata --out stick "
        "--drop bundles/magika/9/fp32.tar"
    )
)
@click.argument("name")
@click.option("--drop", multiple=True, help="A target to vouch for no more. Repeat it.")
@_places
def role(  # noqa: PLR0913 - the options of the command
    *,
    name: str,
    repository: Path,
    out: Path,
    days: int | None,
    drop: Sequence[str],
    as_json: bool,
) -> None:
    """Prepare the next version of the delegated role NAME.

    The functions renew what they sign by themselves. This is for what a thief of
    a release key had signed: it drops it.
    """
    before = named_role(repository, name)
    after = drop_targets(of_kind(before, Targets), drop, expires=_expiry(name, days))
    beside = [before.path, *versions(repository, TARGETS)[:2]]
    _prepare(out, before, after, beside, as_json=as_json)


def _expiry(role: str, days: int | None) -> datetime:
    valid_for = lifetime(role) if days is None else timedelta(days=days)
    return datetime.now(UTC).replace(microsecond=0) + valid_for


def _prepare(
    out: Path,
    before: Found,
    after: AnyMetadata,
    beside: Sequence[Path],
    *,
    as_json: bool,
) -> None:
    # A number that was used for anything is spent.
    after.signed.version = version_of(versions(before.path.parent, before.role)[0]) + 1
    path = out / metadata_file(before.role, after.signed.version)
    check_sound(Found(path, before.role, after), now=datetime.now(UTC))
    # Last, so that a file that is there is one that can be judged.
    copy_beside(beside, out)
    path = write_prepared(out, before.role, after)
    case = open_case(read_metadata(path), out)
    output.show(
        case.document(),
        f"{path} would make this of {before.title}:",
        *(f"  {line}" for line in case.changes()),
        "it is to be signed",
        *(f"  {asked(each)}" for each in case.quorums),
        as_json=as_json,
    )
