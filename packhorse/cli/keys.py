"""`packhorse keys`: make the keys and the first trust, and show what is trusted.

Keys are P-256 in PKCS#8 files, one a role, named by `file2:` URIs. With Cloud
KMS the same metadata names KMS's public keys, and the settings name `gcpkms:`.
Rotation and other ceremonies are not here yet.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Metadata, Role, Root, Signed, Targets
from tuf.api.serialization import DeserializationError

from packhorse.cli import output
from packhorse.cli.failure import CommandError
from packhorse.cli.options import examples
from packhorse.errors import MalformedError
from packhorse.strict_json import encode_json
from packhorse.trust_root import (
    METADATA_MAX_BYTES,
    ROLLOUTS,
    ROOT,
    ROOT_KEYS,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    RoleSigners,
    first_metadata,
    release_role,
)

_ONLY_OWNER = 0o600
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(
    epilog=examples(
        "packhorse keys init --model magika --directory keys --repository-out metadata",
        "packhorse keys show metadata",
    )
)
def keys() -> None:
    """Make signing keys, and show what is trusted."""


@keys.command(
    epilog=examples(
        "packhorse keys init --model magika --directory keys --repository-out metadata"
    )
)
@click.option(
    "--directory",
    type=_FOLDER,
    required=True,
    help="Folder for the private keys; made if it is not there.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    help="A model that may be released; give it once for each.",
)
@click.option(
    "--repository-out",
    type=_FOLDER,
    required=True,
    help="Folder for the metadata to upload to the bucket's metadata/.",
)
@output.json_option
def init(
    *, directory: Path, models: tuple[str, ...], repository_out: Path, as_json: bool
) -> None:
    """Make every key, and the first metadata of a repository.

    Root is signed by two of three keys: keep the files root-1.pem to root-3.pem
    and targets.pem away from the cloud, and from one another.
    """
    try:
        roles = {model: release_role(model) for model in models}
    except MalformedError as error:
        raise CommandError(str(error)) from error
    for folder in (directory, repository_out):
        _make_empty(folder)
    signers = _make_keys(directory, roles)
    for name, body in first_metadata(signers, at=datetime.now(UTC)).items():
        _write_new(repository_out / name, body)
    settings = _settings(directory.absolute(), roles)
    output.show(
        {
            "directory": str(directory),
            "repository": str(repository_out),
            "settings": settings,
        },
        f"Keys are in {directory}, metadata to upload in {repository_out}.",
        "The functions' settings:",
        *(f"  {name}={value}" for name, value in settings.items()),
        as_json=as_json,
    )


@keys.command(epilog=examples("packhorse keys show metadata"))
@click.argument(
    "repository", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@output.json_option
def show(*, repository: Path, as_json: bool) -> None:
    """Show which keys the metadata in REPOSITORY trusts, and until when."""
    root, targets = _latest(repository, ROOT), _latest(repository, TARGETS)
    if not isinstance(root, Root) or not isinstance(targets, Targets):
        raise CommandError(f"{repository} holds other metadata than it says")
    delegated = (targets.delegations and targets.delegations.roles) or {}
    trusted: dict[str, Role] = {**root.roles, **delegated}
    names = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP, *delegated)
    signed = {name: _latest(repository, name) for name in names}
    output.show(
        {
            "roles": {name: _describe_role(role) for name, role in trusted.items()},
            "metadata": {
                name: {"version": s.version, "expires": s.expires.isoformat()}
                for name, s in signed.items()
            },
        },
        *(line for name, role in trusted.items() for line in _role_lines(name, role)),
        *(_validity(name, one) for name, one in signed.items()),
        as_json=as_json,
    )


def _describe_role(role: Role) -> dict[str, object]:
    return {
        "threshold": role.threshold,
        "keys": role.keyids,
        "paths": _paths(role),
    }


def _role_lines(name: str, role: Role) -> Iterator[str]:
    yield f"{name}: {role.threshold} of {len(role.keyids)} keys"
    yield from (f"  {keyid}" for keyid in role.keyids)
    if paths := _paths(role):
        yield f"  vouches for {' '.join(paths)}"


def _paths(role: Role) -> list[str]:
    return (role.paths or []) if isinstance(role, DelegatedRole) else []


def _validity(name: str, signed: Signed) -> str:
    verb = "expired on" if signed.is_expired() else "is valid until"
    return f"{name} {signed.version} {verb} {signed.expires:%F %R} UTC"


def _make_keys(directory: Path, roles: dict[str, str]) -> RoleSigners:
    def make(name: str) -> CryptoSigner:
        signer = CryptoSigner.generate_ecdsa()
        _write_new(directory / f"{name}.pem", signer.private_bytes)
        return signer

    return RoleSigners(
        root=[make(f"{ROOT}-{number}") for number in range(1, ROOT_KEYS + 1)],
        targets=make(TARGETS),
        snapshot=make(SNAPSHOT),
        timestamp=make(TIMESTAMP),
        rollouts=make(ROLLOUTS),
        releases={model: make(role) for model, role in roles.items()},
    )


def _settings(directory: Path, roles: dict[str, str]) -> dict[str, str]:
    """Return the functions' settings that name the online keys."""
    releases = {m: f"file2:{directory / role}.pem" for m, role in roles.items()}
    return {"RELEASE_KEY_URIS": encode_json(releases).decode()} | {
        f"{role.upper()}_KEY_URI": f"file2:{directory / role}.pem"
        for role in (ROLLOUTS, SNAPSHOT, TIMESTAMP)
    }


def _make_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise CommandError(
            f"{folder} must be empty: keys and metadata are never overwritten"
        )


def _write_new(path: Path, body: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, _ONLY_OWNER), "wb") as file:
        file.write(body)


def _latest(repository: Path, role: str) -> Signed:
    """Read the metadata of a role with the highest version in the folder."""
    pattern = re.compile(rf"([0-9]{{1,9}}\.)?{re.escape(role)}\.json")
    found = [path for path in repository.iterdir() if pattern.fullmatch(path.name)]
    if not found:
        raise CommandError(f"{repository} holds no metadata of {role}")
    latest = max(found, key=_version)
    with latest.open("rb") as file:
        body = file.read(METADATA_MAX_BYTES)
    try:
        signed: Signed = Metadata.from_bytes(body).signed
    except DeserializationError as error:
        raise CommandError(f"{latest} is no TUF metadata") from error
    return signed


def _version(path: Path) -> int:
    number = path.name.partition(".")[0]
    return int(number) if number.isdigit() else 0
