"""`packhorse verify`: see for yourself that a release is vouched for.

Does what a gateway does, with the root that you trust, and keeps nothing.
"""

import hashlib
import tempfile
from pathlib import Path

import click
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError
from tuf.ngclient import Updater

from packhorse.assignment import bundle_target
from packhorse.bundle import BUNDLE_MAX_BYTES, read_bundle
from packhorse.cli import output
from packhorse.cli.failure import CommandError
from packhorse.cli.options import examples, parse_url, parsed
from packhorse.errors import MalformedError
from packhorse.names import Release, check_variant, parse_release
from packhorse.trust_root import METADATA_MAX_BYTES


@click.command(
    epilog=examples(
        "packhorse verify magika@2 --root root.json "
        "--repository https://storage.googleapis.com/BUCKET"
    )
)
@click.argument("release", callback=parsed(parse_release))
@click.option(
    "--root",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    envvar="PACKHORSE_ROOT_FILE",
    show_envvar=True,
    help="The root metadata that you trust.",
)
@click.option(
    "--repository",
    required=True,
    envvar="PACKHORSE_REPOSITORY_URL",
    show_envvar=True,
    callback=parsed(parse_url),
    metavar="URL",
    help="URL of the bucket, for example https://storage.googleapis.com/BUCKET.",
)
@click.option(
    "--variant",
    default="fp32",
    show_default=True,
    callback=parsed(check_variant),
    help="Which bundle.",
)
@output.json_option
def verify(
    *, release: Release, root: Path, repository: str, variant: str, as_json: bool
) -> None:
    """Check signatures, hash and contents of the bundle of RELEASE."""
    target = bundle_target(release, variant)
    with tempfile.TemporaryDirectory() as folder:
        with output.working(f"fetching {target}"):
            bundle = _download(Path(folder), _read(root), repository, target)
        with output.working(f"checking {target}"):
            result = _check(bundle, release)
    output.show(
        result,
        f"{release} {variant} is vouched for: {result['length_bytes']:,} bytes, "
        f"sha256 {result['sha256']}, {result['members']} members as its manifest says",
        as_json=as_json,
    )


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        root = stream.read(METADATA_MAX_BYTES)
    try:
        is_root = isinstance(Metadata.from_bytes(root).signed, Root)
    except DeserializationError:
        is_root = False
    if not is_root:
        raise MalformedError(
            f"{path} must be the root metadata of the repository, a root.json as "
            "`packhorse keys init` makes it, and is none"
        )
    return root


def _download(folder: Path, root: bytes, repository: str, target: str) -> Path:
    """Return the target, verified by TUF from `root` on."""
    places = {name: folder / name for name in ("metadata", "targets")}
    for place in places.values():
        place.mkdir()
    try:
        updater = Updater(
            str(places["metadata"]),
            f"{repository}/metadata/",
            str(places["targets"]),
            f"{repository}/targets/",
            bootstrap=root,
        )
        info = updater.get_targetinfo(target)
        if info is None:
            raise CommandError(f"nothing that is trusted vouches for {target}")
        return Path(updater.download_target(info))
    except DownloadError as error:
        raise CommandError(
            f"{repository} could not be read; is its address right, and open to you?"
        ) from error
    except RepositoryError as error:
        raise CommandError(f"{target} is not to be trusted: {error}") from error


def _check(path: Path, release: Release) -> dict[str, object]:
    """Read the whole bundle, and see that it is the release's."""
    count = 0
    with path.open("rb") as stream:
        reader = read_bundle(stream, limit_bytes=BUNDLE_MAX_BYTES)
        for _, chunks in reader.members():
            for _ in chunks:
                pass
            count += 1
    if reader.manifest.release != release:
        raise MalformedError(f"the bundle is of {reader.manifest.release}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "release": str(release),
        "variant": reader.manifest.variant,
        "members": count,
        "length_bytes": path.stat().st_size,
        "sha256": digest,
    }
