"""`packhorse push`: the only thing a person does to release a model."""

import hashlib
import io
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from packhorse.cli import output
from packhorse.cli.card_options import card_options, limits_options
from packhorse.cli.failure import CommandError
from packhorse.cli.operate import Operate, operate_options
from packhorse.cli.options import examples, grouped, parsed
from packhorse.cli.push_files import ModelFiles, Push, prepare_push
from packhorse.cli.registry import ModelRepository
from packhorse.cli.registry_client import Address, parse_address
from packhorse.cli.watch import watch_release
from packhorse.model_card import ModelCard
from packhorse.names import VERSION_MAX, Release
from packhorse.pushed_model import Layer, Role, encode_config, encode_pushed_manifest
from packhorse.shadow_limits import ShadowLimits

_CONFIG_NAME = "config"
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a push goes.

    Attributes:
        version: None for one more than the highest there.
    """

    address: Address
    token: str | None
    version: int | None


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a push."""

    release: Release
    digest: str
    is_new: bool

    def sentence(self) -> str:
        """Say it to a person."""
        if self.is_new:
            return f"pushed {self.release}  {self.digest}"
        return f"{self.release} was there already, with the same files  {self.digest}"

    def document(self) -> dict[str, object]:
        """Say it to a program."""
        return {
            "release": str(self.release),
            "digest": self.digest,
            "is_new": self.is_new,
        }


def _make_files(
    model: Path, golden: Path, external_data: tuple[Path, ...]
) -> ModelFiles:
    return ModelFiles(model, golden, external_data)


def _make_destination(
    registry: Address, registry_token: str | None, version: int | None
) -> Destination:
    return Destination(registry, registry_token, version)


_files_options = grouped(
    "files",
    _make_files,
    click.argument("model", type=_FILE),
    click.option(
        "--golden",
        required=True,
        type=_FILE,
        help="Golden samples: an npz with arrays input.<name> and output.<name>.",
    ),
    click.option(
        "--external-data",
        multiple=True,
        type=_FILE,
        help="A file of weights beside the model; may be repeated.",
    ),
)

_destination_options = grouped(
    "destination",
    _make_destination,
    click.option(
        "--version",
        type=click.IntRange(1, VERSION_MAX),
        help="The version's number. [default: one more than the highest]",
    ),
    click.option(
        "--registry",
        envvar="PACKHORSE_REGISTRY",
        required=True,
        show_envvar=True,
        callback=parsed(parse_address),
        metavar="ADDRESS",
        help="HOST/PROJECT/REPOSITORY of Artifact Registry.",
    ),
    click.option(
        "--registry-token",
        envvar="PACKHORSE_REGISTRY_TOKEN",
        show_envvar=True,
        metavar="TOKEN",
        help="Access token; without it, what `docker login` left.",
    ),
)


def _make_watcher(operate: Operate | None, watch: bool | None) -> Operate | None:  # noqa: FBT001 - click's
    """Return what is asked how the release travels, where someone wants to see it."""
    if watch and operate is None:
        raise click.UsageError("--watch needs --operate-url (PACKHORSE_OPERATE_URL)")
    is_wanted = output.is_terminal() if watch is None else watch
    return operate if is_wanted else None


_watch_options = grouped(
    "watcher",
    _make_watcher,
    click.option(
        "--watch/--no-watch",
        default=None,
        help="Show how the release travels. [default: on a terminal]",
    ),
)


@click.command(
    epilog=examples(
        "packhorse push model.onnx --name magika --golden samples.npz",
        "packhorse push model.onnx --name magika --golden samples.npz --version 7 "
        "--no-watch --json",
        "PACKHORSE_REGISTRY_TOKEN=$(gcloud auth print-access-token) packhorse push ...",
    )
)
@_files_options
@card_options
@limits_options
@_destination_options
@operate_options(required=False)
@_watch_options
@output.json_option
def push(  # noqa: PLR0913 - click hands over what the options are grouped into
    *,
    files: ModelFiles,
    card: ModelCard,
    limits: ShadowLimits,
    destination: Destination,
    watcher: Operate | None,
    as_json: bool,
) -> None:
    """Push MODEL, an ONNX file, to the registry; everything else follows from it.

    A version that exists with other files is never replaced. Pushing the same
    files again changes nothing and says so.
    """
    with output.working(f"checking {files.model.name}"):
        prepared = prepare_push(replace(card, shadow=limits), files)
    address, token = destination.address, destination.token
    with closing(ModelRepository(address, token=token)) as repository:
        pushed = push_files(repository, prepared, destination.version)
    if watcher is None:
        output.show(pushed.document(), pushed.sentence(), as_json=as_json)
        return
    if not as_json:
        output.say(pushed.sentence())
    arrival = watch_release(watcher, pushed.release, is_quiet=as_json)
    if as_json:
        output.show(pushed.document() | arrival.document(), as_json=True)
    arrival.check()


def push_files(repository: ModelRepository, push: Push, version: int | None) -> Pushed:
    """Upload what the registry lacks, the manifest last.

    Raises:
        CommandError: The version exists with other files.
    """
    with output.working("asking the registry"):
        release = _choose_release(repository, push, version)
        stored = repository.find(release)
    config = encode_config(push.card, release.version, push.layers)
    manifest = encode_pushed_manifest(release, config, push.layers)
    digest = _digest(manifest)
    if stored is not None:
        if stored.digest != digest:
            raise CommandError(
                f"{release} exists with the digest {stored.digest}, and these files "
                f"give {digest}; a version never changes, push a new one"
            )
        return Pushed(release, digest, is_new=False)
    for layer in push.layers:
        _upload(repository, push, layer)
    blob = Layer(Role.EXTERNAL_DATA, _CONFIG_NAME, _digest(config), len(config))
    repository.upload(release.model, blob, partial(io.BytesIO, config), _ignore)
    return Pushed(release, repository.tag(release, manifest), is_new=True)


def _choose_release(
    repository: ModelRepository, push: Push, version: int | None
) -> Release:
    """Take the wanted version; else the newest if it is the same, else the next."""
    model = push.card.model
    if version is not None:
        return Release(model, version)
    newest = max(repository.versions(model), default=0)
    if newest:
        stored = repository.find(Release(model, newest))
        if stored is not None and set(stored.layers) == set(push.layers):
            return Release(model, newest)
    return Release(model, newest + 1)


def _upload(repository: ModelRepository, push: Push, layer: Layer) -> None:
    what = f"uploading {layer.name}"
    with output.transferring(what, layer.length_bytes) as on_sent:
        repository.upload(
            push.card.model, layer, partial(push.open, layer.name), on_sent
        )


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _ignore(count: int) -> None:
    del count
