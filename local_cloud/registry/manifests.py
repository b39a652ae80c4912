"""What a manifest must look like to be taken in.

The registry looks no deeper than it must: which content the manifest leans
on. What the manifest means is its reader's business.

Source: OCI image-spec 1.1, manifest.md and image-index.md
"""

import json
from dataclasses import dataclass

from local_cloud.registry.errors import Code, RegistryError
from local_cloud.registry.names import check_digest

MANIFEST_MAX_BYTES = 4 * 1024 * 1024
"""The specification asks registries to take at least this; we take no more."""

IMAGE_TYPES = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
INDEX_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)


@dataclass(frozen=True, slots=True)
class References:
    """The digests that a manifest leans on."""

    blobs: tuple[str, ...]
    manifests: tuple[str, ...]


def read_references(body: bytes, media_type: str) -> References:
    """Read which content a manifest leans on.

    Raises:
        RegistryError: `body` is no manifest of the type it was sent as.
    """
    if media_type not in IMAGE_TYPES | INDEX_TYPES:
        raise _invalid(f"expected the type of a manifest or index, got {media_type!r}")
    document = _decode(body)
    if document.get("mediaType", media_type) != media_type:
        raise _invalid(
            f"it was sent as {media_type!r} and says {document['mediaType']!r}"
        )
    if media_type in INDEX_TYPES:
        return References((), _digests(document.get("manifests")))
    return References(
        (*_digests([document.get("config")]), *_digests(document.get("layers"))), ()
    )


def _decode(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid("expected JSON, got something else") from error
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:  # noqa: PLR2004 - the only version there is
        raise _invalid("expected an object with schemaVersion 2")
    return document


def _digests(descriptors: object) -> tuple[str, ...]:
    if not isinstance(descriptors, list):
        raise _invalid("expected a list of descriptors")
    return tuple(_digest(descriptor) for descriptor in descriptors)


def _digest(descriptor: object) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str):
        raise _invalid("expected a descriptor with a digest")
    return check_digest(digest)


def _invalid(message: str) -> RegistryError:
    return RegistryError(Code.MANIFEST_INVALID, f"not a manifest: {message}")
