"""`packhorse keys init`: the first trust of a repository, whole or to be signed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from securesystemslib.signer import Signer

from packhorse.cli import output
from packhorse.cli.failure import CommandError
from packhorse.cli.keys.case import open_case
from packhorse.cli.keys.files import all_or_nothing, read_metadata, write_new
from packhorse.cli.keys.make import make_key_file
from packhorse.cli.keys.options import (
    FOLDER,
    by_role,
    is_private_uri,
    key_failures,
    pairs_option,
    read_thresholds,
    signers_option,
)
from packhorse.cli.keys.words import asked
from packhorse.cli.options import examples
from packhorse.errors import MalformedError
from packhorse.signers import Signers, is_same_key, key_name
from packhorse.strict_json import encode_json
from packhorse.trust_root import (
    ROLLOUTS,
    ROOT,
    ROOT_KEYS,
    ROOT_THRESHOLD,
    SNAPSHOT,
    TARGETS,
    TARGETS_KEYS,
    TIMESTAMP,
    AbsentSigner,
    RoleSigners,
    first_metadata,
    release_role,
)

_MANY = {ROOT: ROOT_KEYS, TARGETS: TARGETS_KEYS}


@dataclass(slots=True)
class _Keyring:
    """Every key of the first metadata: made here, or given by URI."""

    folder: Path | None
    given: Mapping[str, list[str]]
    signers: Signers
    uris: dict[str, str]

    def all_of(self, role: str) -> list[Signer]:
        """Return the signers of a role, and make them where none is given."""
        given = self.given.get(role, [])
        if given:
            return [self._open(role, uri) for uri in given]
        count = _MANY.get(role, 1)
        names = [role] if count == 1 else [f"{role}-{n}" for n in range(1, count + 1)]
        return [self._make(role, name) for name in names]

    def one_of(self, role: str) -> Signer:
        """Return the one signer of a role that a function signs for."""
        found = self.all_of(role)
        if len(found) != 1 or isinstance(found[0], AbsentSigner):
            raise CommandError(
                f"{role} must have one key by a file2: or gcpkms: URI: a function "
                "signs with it, and now it signs the first metadata"
            )
        return found[0]

    def _make(self, role: str, name: str) -> Signer:
        if self.folder is None:
            raise CommandError(f"give --key {role}=KEY, or --directory to make one in")
        path = self.folder / f"{name}.pem"
        key = make_key_file(path)
        self.uris[role] = f"file2:{path.absolute()}"
        return self.signers.open(self.uris[role], key)

    def _open(self, role: str, uri: str) -> Signer:
        with key_failures(uri):
            key = self.signers.public_key(uri)
            if not is_private_uri(uri):
                return AbsentSigner(key)
            self.uris[role] = uri
            return self.signers.open(uri, key)


@click.command(
    epilog=examples(
        "packhorse keys init --model magika --directory keys --repository-out metadata",
        "packhorse keys init --model magika --directory keys --repository-out metadata "
        "--key root=anna.pub --key root=ben.pub --key root=cleo.pub",
    )
)
@click.option(
    "--directory",
    type=FOLDER,
    help="Folder for the private keys that are made; made if it is not there.",
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
    type=FOLDER,
    required=True,
    help="Folder for the metadata to upload to the bucket's metadata/.",
)
@pairs_option(
    "--key",
    metavar="ROLE=KEY",
    help="A key that is there already: a file2: or gcpkms: URI, or for root and "
    "targets a public key's file, whose owner signs later. Repeat it.",
)
@pairs_option(
    "--threshold",
    metavar="ROLE=NUMBER",
    help=f"So many keys of root ({ROOT_THRESHOLD}) or targets (all) must agree.",
)
@signers_option
@output.json_option
def init(  # noqa: PLR0913 - the options of the command
    *,
    directory: Path | None,
    models: Sequence[str],
    repository_out: Path,
    key: Sequence[tuple[str, str]],
    threshold: Sequence[tuple[str, str]],
    signers: Signers,
    as_json: bool,
) -> None:
    """Make keys, and the first metadata of a repository.

    Root is signed by two of three keys, targets by two of two. Keep these five
    away from the cloud, and from one another: let their holders make them (`keys
    make`), give their public halves with --key, and have them sign (`keys sign`).
    """
    try:
        roles = {model: release_role(model) for model in models}
    except MalformedError as error:
        raise CommandError(str(error)) from error
    given = by_role(key)
    _check_roles([*given, *dict(threshold)], roles)
    thresholds = read_thresholds(threshold)
    ring = _Keyring(directory, given, signers, {})
    folders = [repository_out] if directory is None else [directory, repository_out]
    with all_or_nothing(*folders):
        made = _role_signers(ring, roles, thresholds)
        _check_no_key_twice(made)
        with key_failures("a given key"):
            files = first_metadata(made, at=datetime.now(UTC))
        for name, body in files.items():
            write_new(repository_out / name, body)
    _show(ring, roles, repository_out, as_json=as_json)


def _role_signers(
    ring: _Keyring, roles: Mapping[str, str], thresholds: Mapping[str, int]
) -> RoleSigners:
    root, targets = ring.all_of(ROOT), ring.all_of(TARGETS)
    wanted = {
        ROOT: thresholds.get(ROOT, ROOT_THRESHOLD),
        TARGETS: thresholds.get(TARGETS, len(targets)),
    }
    for role, keys in ((ROOT, root), (TARGETS, targets)):
        if wanted[role] > len(keys):
            raise CommandError(
                f"{wanted[role]} signatures for {role} from {len(keys)} keys is not "
                "possible; say --threshold, or give more keys"
            )
    return RoleSigners(
        root=root,
        targets=targets,
        snapshot=ring.one_of(SNAPSHOT),
        timestamp=ring.one_of(TIMESTAMP),
        rollouts=ring.one_of(ROLLOUTS),
        releases={model: ring.one_of(role) for model, role in roles.items()},
        root_threshold=wanted[ROOT],
        targets_threshold=wanted[TARGETS],
    )


def _check_roles(named: Sequence[str], roles: Mapping[str, str]) -> None:
    known = [ROOT, TARGETS, SNAPSHOT, TIMESTAMP, ROLLOUTS, *roles.values()]
    for role in named:
        if role not in known:
            raise CommandError(f"the roles are {', '.join(known)}; {role!r} is none")


def _check_no_key_twice(made: RoleSigners) -> None:
    others = [made.snapshot, made.timestamp, made.rollouts, *made.releases.values()]
    keys = [each.public_key for each in [*made.root, *made.targets, *others]]
    for number, key in enumerate(keys):
        if any(is_same_key(key, other) for other in keys[:number]):
            raise CommandError(
                f"{key_name(key)} is given twice; each needs a key of its own"
            )


def _show(
    ring: _Keyring, roles: Mapping[str, str], repository: Path, *, as_json: bool
) -> None:
    settings = _settings(ring.uris, roles)
    waiting = list(_waiting(repository))
    made = f"Keys are in {ring.folder}, metadata" if ring.folder else "Metadata"
    verb = "to be signed first is" if waiting else "to upload"
    output.show(
        {
            "directory": str(ring.folder) if ring.folder else None,
            "repository": str(repository),
            "settings": settings,
            "waiting": waiting,
        },
        f"{made} {verb} in {repository}.",
        *waiting,
        "The functions' settings:",
        *(f"  {name}={value}" for name, value in settings.items()),
        as_json=as_json,
    )


def _waiting(repository: Path) -> Iterator[str]:
    """Name the files that wait for signatures, and whose."""
    for role in (ROOT, TARGETS):
        case = open_case(read_metadata(repository / f"1.{role}.json"), repository)
        for quorum in case.quorums:
            if not quorum.is_met:
                yield f"1.{role}.json is signed {asked(quorum)}"


def _settings(uris: Mapping[str, str], roles: Mapping[str, str]) -> dict[str, str]:
    """Return the functions' settings that name the online keys."""
    releases = {model: uris[role] for model, role in roles.items()}
    return {"RELEASE_KEY_URIS": encode_json(releases).decode()} | {
        f"{role.upper()}_KEY_URI": uris[role]
        for role in (ROLLOUTS, SNAPSHOT, TIMESTAMP)
    }
