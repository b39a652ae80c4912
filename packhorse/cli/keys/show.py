"""`packhorse keys show`: who is trusted, and until when."""

from datetime import UTC, datetime
from pathlib import Path

import click
from tuf.api.metadata import Role, Root, Signed, Targets

from packhorse.ceremony import keys_of, roles_of
from packhorse.cli import output
from packhorse.cli.failure import CommandError
from packhorse.cli.keys.files import read_latest
from packhorse.cli.keys.options import OLD_FOLDER
from packhorse.cli.keys.words import is_soon, role_lines, role_paths, validity
from packhorse.cli.options import examples
from packhorse.signers import key_name
from packhorse.trust_root import ROOT, SNAPSHOT, TARGETS, TIMESTAMP


@click.command(epilog=examples("packhorse keys show metadata"))
@click.argument("repository", type=OLD_FOLDER)
@output.json_option
def show(*, repository: Path, as_json: bool) -> None:
    """Show which keys the metadata in REPOSITORY trusts, and until when.

    REPOSITORY is a copy of the bucket's metadata/, or any folder of metadata.
    """
    now = datetime.now(UTC)
    root = read_latest(repository, ROOT).signed
    targets = read_latest(repository, TARGETS).signed
    if not isinstance(root, Root) or not isinstance(targets, Targets):
        raise CommandError(f"{repository} holds other metadata than it says")
    names = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP, *roles_of(targets))
    signed = {name: read_latest(repository, name).signed for name in names}
    givers: tuple[Signed, ...] = (root, targets)
    trusted = [(by, *pair) for by in givers for pair in roles_of(by).items()]
    output.show(
        {
            "roles": {name: _describe(by, role) for by, name, role in trusted},
            "metadata": {
                name: {
                    "version": each.version,
                    "expires": each.expires.isoformat(),
                    "is_soon": is_soon(name, each, now),
                }
                for name, each in signed.items()
            },
        },
        *(line for by, name, role in trusted for line in role_lines(by, name, role)),
        *(validity(name, each, now) for name, each in signed.items()),
        as_json=as_json,
    )


def _describe(by: Signed, role: Role) -> dict[str, object]:
    keys = keys_of(by)
    return {
        "threshold": role.threshold,
        "keys": role.keyids,
        "names": [key_name(keys[keyid]) for keyid in role.keyids if keyid in keys],
        "paths": role_paths(role),
    }
