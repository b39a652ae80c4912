"""`packhorse push`: the only thing a person does to release a model."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from packhorse.cli import output
from packhorse.cli.failure import CommandError, plain_failures
from packhorse.cli.model_file import read_signature
from packhorse.cli.operate import operate_option, token_option
from packhorse.cli.registry import ModelRepository
from packhorse.cli.watch import watch_release
from packhorse.golden import check_golden, read_golden
from packhorse.manifest import GOLDEN_FILE, MODEL_FILE, Tolerance
from packhorse.model_card import ModelCard, encode_card
from packhorse.names import Release, check_model
from packhorse.pushed_model import (
    CARD_FILE,
    Layer,
    Role,
    encode_config,
    encode_pushed_manifest,
)

_CHUNK_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Push:
    """The files of one push, by the name that each has in the registry."""

    card: ModelCard
    files: Mapping[str, Path]

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers that the files make."""
        return tuple(_layer(name, path) for name, path in self.files.items())


@click.command(
    epilog="Example: packhorse push model.onnx --name magika --golden samples.npz"
)
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--name", required=True, help="The model's name, for example magika.")
@click.option(
    "--golden",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Golden samples: an npz with arrays input.<name> and output.<name>.",
)
@click.option(
    "--version",
    type=click.IntRange(1, 999_999_999),
    help="The version's number. [default: one more than the highest]",
)
@click.option(
    "--owner", default="unknown", show_default=True, help="Who answers for it."
)
@click.option(
    "--licence", default="unknown", show_default=True, help="SPDX expression."
)
@click.option("--description", default="", help="A sentence for people.")
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="OUTPUT=ABS,REL",
    help="How far an output may lie from its golden value; may be repeated.",
)
@click.option(
    "--external-data",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file of weights beside the model; may be repeated.",
)
@click.option(
    "--registry",
    envvar="PACKHORSE_REGISTRY",
    required=True,
    show_envvar=True,
    help="HOST/PROJECT/REPOSITORY of Artifact Registry.",
)
@click.option(
    "--registry-token",
    envvar="PACKHORSE_REGISTRY_TOKEN",
    show_envvar=True,
    help="Access token; without it, what `docker login` left.",
)
@click.option(
    "--watch/--no-watch",
    default=None,
    help="Show how the release travels. [default: on a terminal]",
)
@operate_option(required=False)
@token_option
@output.json_option
def push(  # noqa: PLR0913 - one parameter an option
    *,
    model: Path,
    name: str,
    golden: Path,
    version: int | None,
    owner: str,
    licence: str,
    description: str,
    tolerances: tuple[str, ...],
    external_data: tuple[Path, ...],
    registry: str,
    registry_token: str | None,
    watch: bool | None,
    operate_url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Push MODEL, an ONNX file, to the registry; everything else follows from it.

    A version that exists with other files is never replaced. Pushing the same
    files again changes nothing and says so.
    """
    with plain_failures(), tempfile.TemporaryDirectory() as folder:
        card = ModelCard(
            check_model(name), owner, licence, _tolerances(tolerances), description
        )
        _check(model, golden)
        card_file = Path(folder) / CARD_FILE
        card_file.write_bytes(encode_card(card))
        files = {MODEL_FILE: model, GOLDEN_FILE: golden, CARD_FILE: card_file}
        files |= {path.name: path for path in external_data}
        repository = ModelRepository(registry, token=registry_token)
        pushed = push_files(repository, Push(card, files), version)
    output.show(
        {
            "release": str(pushed.release),
            "digest": pushed.digest,
            "is_new": pushed.is_new,
        },
        pushed.sentence(),
        as_json=as_json,
    )
    if operate_url and (output.is_terminal() if watch is None else watch):
        watch_release(operate_url, token, pushed.release, as_json=as_json)


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


def push_files(repository: ModelRepository, push: Push, version: int | None) -> Pushed:
    """Upload what the registry lacks, the manifest last.

    Raises:
        CommandError: The version exists with other files.
    """
    layers = push.layers()
    release = _choose_release(repository, push.card.model, version, layers)
    config = encode_config(push.card, release.version, layers)
    manifest = encode_pushed_manifest(release, config, layers)
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    stored = repository.find(release)
    if stored is not None:
        if stored.digest != digest:
            raise CommandError(
                f"{release} exists with the digest {stored.digest}, and these files "
                f"give {digest}; a version never changes, push a new one"
            )
        return Pushed(release, digest, is_new=False)
    for layer in layers:
        file = push.files[layer.name]
        with output.working(f"uploading {layer.name}, {layer.length_bytes:,} bytes"):
            repository.upload(release.model, file, layer.digest, layer.length_bytes)
    _upload_config(repository, release.model, config)
    return Pushed(release, repository.tag(release, manifest), is_new=True)


def _choose_release(
    repository: ModelRepository,
    model: str,
    version: int | None,
    layers: tuple[Layer, ...],
) -> Release:
    """Take the wanted version; else the newest if it is the same, else the next."""
    if version is not None:
        return Release(model, version)
    newest = max(repository.versions(model), default=0)
    if newest:
        stored = repository.find(Release(model, newest))
        if stored is not None and set(stored.layers) == set(layers):
            return Release(model, newest)
    return Release(model, newest + 1)


def _upload_config(repository: ModelRepository, model: str, config: bytes) -> None:
    with _as_file(config) as path:
        digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        repository.upload(model, path, digest, len(config))


@contextmanager
def _as_file(body: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        yield Path(file.name)


def _check(model: Path, golden: Path) -> None:
    """Refuse here, in plain words, what the cloud would refuse later."""
    inputs, outputs = read_signature(model)
    with golden.open("rb") as stream:
        samples = read_golden(stream)
    check_golden(samples, inputs, outputs)


def _tolerances(options: tuple[str, ...]) -> dict[str, Tolerance]:
    found = {}
    for option in options:
        name, _, numbers = option.rpartition("=")
        try:
            absolute, relative = (float(number) for number in numbers.split(","))
        except ValueError as error:
            raise CommandError(
                f"a tolerance is written OUTPUT=ABS,REL, not {option[:80]!r}"
            ) from error
        found[name] = Tolerance(absolute, relative)
    return found


def _layer(name: str, path: Path) -> Layer:
    digest = hashlib.sha256()
    length_bytes = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            length_bytes += len(chunk)
    roles = {MODEL_FILE: Role.MODEL, GOLDEN_FILE: Role.GOLDEN, CARD_FILE: Role.CARD}
    role = roles.get(name, Role.EXTERNAL_DATA)
    return Layer(role, name, f"sha256:{digest.hexdigest()}", length_bytes)
