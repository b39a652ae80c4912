"""`packhorse keys show`: who is trusted, and until when."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from tuf.api.metadata import Role, Signed

from packhorse.ceremony import keys_of, roles_of
from packhorse.cli import output
from packhorse.cli.keys.in_force import InForce, read_in_force
from packhorse.cli.keys.options import OLD_FOLDER
from packhorse.cli.keys.words import is_soon, role_lines, role_paths, validity
from packhorse.cli.options import examples
from packhorse.signers import key_name
from packhorse.trust_root import ROOT, TARGETS


@click.command(epilog=examples("packhorse keys show metadata"))
@click.argument("repository", type=OLD_FOLDER)
@output.json_option
def show(*, repository: Path, as_json: bool) -> None:
    """Show which keys the metadata in REPOSITORY trusts, and until when.

    REPOSITORY is a copy of the bucket's metadata/, or any folder of metadata. What
    is not in force, because signatures are missing, stands at the end.
    """
    now = datetime.now(UTC)
    state = read_in_force(repository)
    trusted = list(_trusted(state))
    output.show(
        {
            "roles": {name: _describe(by, role) for by, name, role in trusted},
            "metadata": {
                name: {
                    "version": found.signed.version,
                    "expires": found.signed.expires.isoformat(),
                    "is_soon": is_soon(name, found.signed, now),
                    "is_signed": name not in state.unsigned,
                }
                for name, found in state.found.items()
            },
            "waiting": state.waiting,
        },
        *(line for by, name, role in trusted for line in role_lines(by, name, role)),
        *(validity(name, each.signed, now) for name, each in state.found.items()),
        *_shortcomings(state),
        as_json=as_json,
    )


def _trusted(state: InForce) -> Iterator[tuple[Signed, str, Role]]:
    """Yield every role with who gives it its keys."""
    for found in [state.found[name] for name in (ROOT, TARGETS) if name in state.found]:
        for name, role in roles_of(found.signed).items():
            yield found.signed, name, role


def _shortcomings(state: InForce) -> Iterator[str]:
    """Say what is missing for all that was shown to be trusted."""
    for role in state.unsigned:
        yield (
            f"{state.found[role].title} IS NOT SIGNED by the keys that are trusted "
            "now: gateways accept nothing new until it is"
        )
    for _, name, _ in _trusted(state):
        if name not in state.found:
            yield f"{name} has no metadata here: not written yet, or not copied"
    for name, reason in state.waiting.items():
        yield f"{name} is not in force: {reason}"


def _describe(by: Signed, role: Role) -> dict[str, object]:
    keys = keys_of(by)
    return {
        "threshold": role.threshold,
        "keys": role.keyids,
        "names": [key_name(keys[keyid]) for keyid in role.keyids if keyid in keys],
        "paths": role_paths(role),
    }
