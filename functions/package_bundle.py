"""Make one variant of a release: check the pushed model, and write its bundle.

The pushed files are staged in a temporary folder, which on Cloud Run is memory;
`RELEASE_MAX_BYTES` bounds them.
"""

import hashlib
import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from io import BufferedRandom
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import functions_framework

from functions import outbox, replies, wiring
from functions.adapters.onnx_checker import check_model
from functions.errors import (
    NotFoundError,
    ReleaseRefusedError,
    UpstreamUnavailableError,
)
from functions.events import Message
from functions.release.bundling import make_manifest
from functions.release.metadata import target_object
from functions.release.records import ReleaseRecord, ReleaseState
from packhorse.assignment import BundleRef, bundle_target
from packhorse.bundle import write_bundle
from packhorse.errors import MalformedError, UntrustedError
from packhorse.manifest import Manifest
from packhorse.model_card import read_card
from packhorse.names import VARIANT, Release, parse_release
from packhorse.pushed_model import Layer, PushedModel
from packhorse.strict_json import Fields, decode_json

MESSAGE_MAX_BYTES = 4096
"""A message names a release and a variant, and nothing else."""
FP32 = "fp32"
"""The model as pushed; the other variants come later."""
READS_PER_LAYER = 2
"""A broken transfer and a tampered registry look alike; a second reading tells."""
_CHUNK_BYTES = 1024**2
_TAR = "application/x-tar"
_IMMUTABLE = "public, max-age=31536000, immutable"


@functions_framework.cloud_event
@replies.as_event
def package_bundle(message: Message) -> None:
    """Take one message of the topic `package`."""
    release, variant = _decode(message.data)
    replies.note(release=str(release), variant=variant)
    record = wiring.ledger().release(release)
    if record is None:
        raise NotFoundError(f"no release {release} was ever registered")
    replies.note(state=record.state)
    if record.state is ReleaseState.REGISTERED and not record.variants.get(variant):
        _package(record, variant)
    # Not only when new: an earlier delivery may have died before it published.
    outbox.flush(wiring.ledger(), wiring.publisher())


def _decode(data: bytes) -> tuple[Release, str]:
    value = decode_json(data, what="package message", limit_bytes=MESSAGE_MAX_BYTES)
    fields = Fields(value, "the package message")
    release = parse_release(fields.text("release"))
    variant = fields.text("variant", pattern=VARIANT)
    fields.done()
    return release, variant


def _package(record: ReleaseRecord, variant: str) -> None:
    """Make the bundle and note it, or note why there will never be one."""
    ledger, release = wiring.ledger(), record.release
    try:
        bundle = _make_bundle(record, variant)
    except (MalformedError, ReleaseRefusedError) as error:
        ledger.refuse_release(release, reason=str(error), at=datetime.now(UTC))
        raise
    ledger.variant_packaged(release, variant, bundle, datetime.now(UTC))
    replies.note(bundle=bundle.sha256, length_bytes=bundle.length_bytes)


def _make_bundle(record: ReleaseRecord, variant: str) -> BundleRef:
    if variant != FP32:
        raise ReleaseRefusedError(
            f"the variant {variant!r} cannot be made; VARIANTS may name {FP32}"
        )
    image = f"{wiring.model_repository()}/{record.release.model}"
    pushed = _read_pushed(image, record)
    card = read_card(pushed.card)
    with TemporaryDirectory(prefix="packhorse-") as name:
        folder = Path(name) / "files"
        folder.mkdir()
        for layer in pushed.files:
            _fetch(image, layer, folder / layer.name)
        verdict = check_model(folder, card.tolerances)
        manifest = make_manifest(pushed, variant, verdict, card)
        with (Path(name) / "bundle.tar").open("x+b") as bundle:
            _write(manifest, folder, bundle)
            return _store(manifest, bundle)


def _read_pushed(image: str, record: ReleaseRecord) -> PushedModel:
    try:
        pushed = wiring.registry().manifest(image, record.digest)
    except UntrustedError as error:
        raise UpstreamUnavailableError("the registry sent other content") from error
    if pushed.release != record.release:
        raise ReleaseRefusedError(
            f"the pushed manifest is of {pushed.release}, not of {record.release}"
        )
    size_bytes = sum(layer.length_bytes for layer in pushed.files)
    if size_bytes > wiring.release_max_bytes():
        raise ReleaseRefusedError(
            f"a pushed model may have {wiring.release_max_bytes()} bytes here, "
            f"this one says it has {size_bytes}"
        )
    return pushed


def _fetch(image: str, layer: Layer, path: Path) -> None:
    """Copy a layer to disk, and keep it only if it is what its digest names."""
    for _ in range(READS_PER_LAYER):
        try:
            with (
                wiring.registry().open_layer(image, layer) as stream,
                path.open("wb") as file,
            ):
                shutil.copyfileobj(stream, file, _CHUNK_BYTES)
        except UntrustedError as error:
            refused = ReleaseRefusedError(f"the registry was tampered with: {error}")
            refused.__cause__ = error
        else:
            return
    raise refused


def _write(manifest: Manifest, folder: Path, out: BinaryIO) -> None:
    with ExitStack() as stack:
        members = {
            member.name: stack.enter_context((folder / member.name).open("rb"))
            for member in manifest.members
        }
        write_bundle(manifest, members, out)


def _store(manifest: Manifest, bundle: BufferedRandom) -> BundleRef:
    """Write the bundle to where its hash says, unless it is there already."""
    length_bytes = bundle.tell()
    bundle.seek(0)
    sha256 = hashlib.file_digest(bundle, "sha256").hexdigest()
    bundle.seek(0)
    target = bundle_target(manifest.release, manifest.variant)
    is_new = wiring.bundle_store().write_once(
        target_object(target, sha256),
        bundle,
        length_bytes=length_bytes,
        content_type=_TAR,
        cache_control=_IMMUTABLE,
    )
    replies.note(is_new=is_new)
    return BundleRef(target, length_bytes, sha256)
