"""`packhorse verify`: see for yourself that a release is vouched for.

Does what a gateway does, with the root that you trust, and keeps nothing.
"""

import tempfile
from pathlib import Path

import click
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater

from packhorse.assignment import bundle_target
from packhorse.bundle import BUNDLE_MAX_BYTES, read_bundle
from packhorse.cli import output
from packhorse.cli.failure import CommandError, plain_failures
from packhorse.errors import MalformedError
from packhorse.names import Release, parse_release


@click.command(
    epilog="Example: packhorse verify magika@2 --root root.json --repository URL"
)
@click.argument("release")
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
    help="URL of the bucket, for example https://storage.googleapis.com/BUCKET.",
)
@click.option("--variant", default="fp32", show_default=True, help="Which bundle.")
@output.json_option
def verify(
    *, release: str, root: Path, repository: str, variant: str, as_json: bool
) -> None:
    """Check signatures, hash and contents of the bundle of RELEASE."""
    with plain_failures(), tempfile.TemporaryDirectory() as folder:
        name = parse_release(release)
        target = bundle_target(name, variant)
        body = _download(Path(folder), root.read_bytes(), repository, target)
        result = _check(body, name)
    output.show(
        result,
        f"{name} {variant} is vouched for: {result['length_bytes']:,} bytes, "
        f"sha256 {result['sha256']}, {result['members']} members as its manifest says",
        as_json=as_json,
    )


def _download(folder: Path, root: bytes, repository: str, target: str) -> Path:
    """Return the target, verified by TUF from `root` on."""
    url = repository.rstrip("/")
    places = {name: folder / name for name in ("metadata", "targets")}
    for place in places.values():
        place.mkdir()
    try:
        updater = Updater(
            str(places["metadata"]),
            f"{url}/metadata/",
            str(places["targets"]),
            f"{url}/targets/",
            bootstrap=root,
        )
        info = updater.get_targetinfo(target)
        if info is None:
            raise CommandError(f"nothing that is trusted vouches for {target}")
        return Path(updater.download_target(info))
    except DownloadError as error:
        raise CommandError(f"{url} could not be read; is its address right?") from error
    except RepositoryError as error:
        raise CommandError(f"{target} is not to be trusted: {error}") from error


def _check(path: Path, release: Release) -> dict[str, object]:
    """Read the whole bundle, and see that it is the release's."""
    with path.open("rb") as stream:
        reader = read_bundle(stream, limit_bytes=BUNDLE_MAX_BYTES)
        count = sum(1 for _, chunks in reader.members() if list(chunks) is not None)
    if reader.manifest.release != release:
        raise MalformedError(f"the bundle is of {reader.manifest.release}")
    return {
        "release": str(release),
        "variant": reader.manifest.variant,
        "members": count,
        "length_bytes": path.stat().st_size,
        "sha256": _sha256(path),
    }


def _sha256(path: Path) -> str:
    import hashlib  # noqa: PLC0415

    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
