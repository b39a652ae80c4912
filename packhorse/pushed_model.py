"""What `packhorse push` puts into the registry, and what the cloud reads there.

One OCI artifact holds one version of one model, in the CNCF ModelPack layout:
raw layers only, so nothing is ever unpacked, each under a plain file name. The
layers' media types and names say together what each of them is for.

Source: docs/protocol.md, 7 "The pushed model"; OCI image-spec 1.1, manifest.md;
CNCF ModelPack model-spec
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from packhorse.errors import MalformedError
from packhorse.manifest import (
    GOLDEN_FILE,
    MEMBER_NAME,
    MEMBERS_MAX,
    MODEL_FILE,
)
from packhorse.model_card import ModelCard
from packhorse.names import MODEL, SHA256, Release
from packhorse.strict_json import Fields, decode_json, encode_json

OCI_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MODEL_MANIFEST_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
WEIGHT_TYPE = "application/vnd.cncf.model.weight.v1.raw"
DATASET_TYPE = "application/vnd.cncf.model.dataset.v1.raw"
DOC_TYPE = "application/vnd.cncf.model.doc.v1.raw"
TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"

CARD_FILE = "card.json"
PUSHED_MANIFEST_MAX_BYTES = 262_144
"""Sixty-six layers of 400 bytes take a tenth of it."""
CONFIG_MAX_BYTES = 65_536
LAYER_MAX_BYTES = 2**33 - 1
"""What one bundle member can hold; settings allow less."""
LAYERS_MAX = MEMBERS_MAX + 1

_DIGEST = f"sha256:{SHA256}"


class Role(Enum):
    """What a layer is for; its media type is the value."""

    MODEL = "model"
    EXTERNAL_DATA = "external data"
    GOLDEN = "golden"
    CARD = "card"


_TYPES = {
    Role.MODEL: WEIGHT_TYPE,
    Role.EXTERNAL_DATA: WEIGHT_TYPE,
    Role.GOLDEN: DATASET_TYPE,
    Role.CARD: DOC_TYPE,
}
_FILES = {Role.MODEL: MODEL_FILE, Role.GOLDEN: GOLDEN_FILE, Role.CARD: CARD_FILE}


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of a pushed model.

    Attributes:
        name: A plain file name; `MODEL_FILE`, `GOLDEN_FILE` and `CARD_FILE` are
            taken by their roles.
        digest: `sha256:` and 64 hex digits.
    """

    role: Role
    name: str
    digest: str
    length_bytes: int

    def __post_init__(self) -> None:
        """Refuse a name that is a path or not the role's, and a digest that is none."""
        if re.fullmatch(MEMBER_NAME, self.name) is None:
            raise MalformedError(
                f"a layer's title must be a plain file name, not {self.name[:80]!r}"
            )
        taken = _FILES.get(self.role)
        if self.name != taken and (taken or self.name in _FILES.values()):
            raise MalformedError(
                f"the {self.role.value} layer must be called "
                f"{taken or 'otherwise'}, not {self.name}"
            )
        if re.fullmatch(_DIGEST, self.digest) is None:
            raise MalformedError(f"layer {self.name!r} has no sha256 digest")
        if not 0 <= self.length_bytes <= LAYER_MAX_BYTES:
            raise MalformedError(
                f"layer {self.name!r} may have {LAYER_MAX_BYTES} bytes, "
                f"it says {self.length_bytes}"
            )


@dataclass(frozen=True, slots=True)
class PushedModel:
    """One pushed version of a model.

    Attributes:
        digest: Of the manifest that names the layers.
        card: The model card as JSON; `model_card.read_card` makes a value of it.
        layers: Model, external data by name, golden samples, card.
    """

    name: str
    version: int
    digest: str
    card: Mapping[str, object]
    layers: tuple[Layer, ...]

    @property
    def release(self) -> Release:
        """Return the release that this push asks for."""
        return Release(self.name, self.version)

    def layer(self, role: Role) -> Layer:
        """Return the one layer of `role`, which is not external data."""
        return next(layer for layer in self.layers if layer.role is role)

    @property
    def files(self) -> tuple[Layer, ...]:
        """Return what goes into a bundle, in the order in which it stands there."""
        return tuple(layer for layer in self.layers if layer.role is not Role.CARD)


def encode_config(card: ModelCard, version: int, layers: Iterable[Layer]) -> bytes:
    """Write the config blob: what ModelPack's own tools show of a model.

    Nothing here reads it back; the manifest and the card say the same.
    """
    return encode_json(
        {
            "descriptor": {
                "name": card.model,
                "version": str(version),
                "vendor": card.owner,
                "licenses": [card.licence],
                "description": card.description,
            },
            "config": {"format": "onnx"},
            "modelfs": {"type": "layers", "diffIds": [one.digest for one in layers]},
        }
    )


def encode_pushed_manifest(
    release: Release, config: bytes, layers: Iterable[Layer]
) -> bytes:
    """Write the OCI manifest of a push, the same bytes for the same files."""
    return encode_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST_TYPE,
            "artifactType": MODEL_MANIFEST_TYPE,
            "config": {
                "mediaType": CONFIG_TYPE,
                "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
                "size": len(config),
            },
            "layers": [_encode_layer(layer) for layer in _ordered(layers)],
            "annotations": {TITLE: release.model, VERSION: str(release.version)},
        }
    )


def decode_pushed_manifest(body: bytes) -> tuple[Release, tuple[Layer, ...]]:
    """Read the OCI manifest of a pushed model.

    Returns:
        The release it asks for, and its layers in the order of `PushedModel`.

    Raises:
        LimitExceededError: It is too long, or has too many layers.
        MalformedError: It is no manifest of a model, or lacks a layer.
    """
    value = decode_json(
        body, what="pushed manifest", limit_bytes=PUSHED_MANIFEST_MAX_BYTES
    )
    fields = Fields(value, "the pushed manifest")
    fields.integer("schemaVersion", low=2, high=2)
    _check_kind(fields)
    release = _read_release(fields.take("annotations"))
    fields.take("config")
    listed = fields.sequence("layers", max_items=LAYERS_MAX)
    fields.done()
    return release, _complete([_decode_layer(entry) for entry in listed])


def _check_kind(fields: Fields) -> None:
    """Refuse indexes, container images, signatures and other artifacts."""
    kind = fields.optional("artifactType")
    if kind != MODEL_MANIFEST_TYPE:
        raise MalformedError(
            f"a pushed model has the artifactType {MODEL_MANIFEST_TYPE}, "
            f"not {str(kind)[:100]!r}"
        )
    if fields.optional("mediaType") not in {None, OCI_MANIFEST_TYPE}:
        raise MalformedError(f"a pushed model is an {OCI_MANIFEST_TYPE}")


def _read_release(value: object) -> Release:
    # Annotations are open by their specification: others may stand there too.
    fields = Fields(value, "the pushed manifest's annotations")
    model = fields.text(TITLE, pattern=MODEL)
    version = fields.text(VERSION, pattern=r"[1-9][0-9]{0,8}")
    return Release(model, int(version))


def _decode_layer(value: object) -> Layer:
    fields = Fields(value, "a layer of the pushed manifest")
    annotations = Fields(fields.take("annotations"), "a layer's annotations")
    name = annotations.text(TITLE)
    return Layer(
        role=_role(fields.text("mediaType"), name),
        name=name,
        digest=fields.text("digest", pattern=_DIGEST),
        length_bytes=fields.integer("size", high=LAYER_MAX_BYTES),
    )


def _role(media_type: str, name: str) -> Role:
    for role, file in _FILES.items():
        if name == file and media_type == _TYPES[role]:
            return role
    if media_type == WEIGHT_TYPE and name not in _FILES.values():
        return Role.EXTERNAL_DATA
    raise MalformedError(
        f"a pushed model has no layer {name[:80]!r} of the type {media_type[:100]!r}"
    )


def _complete(layers: list[Layer]) -> tuple[Layer, ...]:
    names = [layer.name for layer in layers]
    if len(set(names)) != len(names):
        raise MalformedError("a pushed model has each layer once")
    missing = set(_FILES.values()) - set(names)
    if missing:
        raise MalformedError(
            f"a pushed model has the layers {', '.join(sorted(_FILES.values()))}; "
            f"this one lacks {', '.join(sorted(missing))}"
        )
    return _ordered(layers)


def _ordered(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    order = list(Role)
    return tuple(sorted(layers, key=lambda one: (order.index(one.role), one.name)))


def _encode_layer(layer: Layer) -> dict[str, object]:
    return {
        "mediaType": _TYPES[layer.role],
        "digest": layer.digest,
        "size": layer.length_bytes,
        "annotations": {TITLE: layer.name},
    }
