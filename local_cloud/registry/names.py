"""Names that may come from outside: repositories, tags, digests, uploads.

Everything that reaches the disk or the catalog went through here. No
component of a name may begin with a dot, so no name can climb out of a
folder.

Source: OCI distribution-spec 1.1, "Pulling manifests"
"""

import re

from local_cloud.registry.errors import Code, RegistryError

NAME_MAX_CHARS = 255
"""The specification's advice: many clients stop there, host name included."""

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_UPLOAD = re.compile(r"[0-9a-f]{32}")


def check_repository(name: str) -> str:
    """Return `name` if it may name a repository."""
    if len(name) > NAME_MAX_CHARS or not _REPOSITORY.fullmatch(name):
        raise RegistryError(
            Code.NAME_INVALID,
            "expected a repository name of lower-case words, digits, '.', '_', '-' "
            f"and '/', at most {NAME_MAX_CHARS} characters; got {name[:80]!r}",
        )
    return name


def check_digest(digest: str) -> str:
    """Return `digest` if it is a SHA-256 digest."""
    if not _DIGEST.fullmatch(digest):
        raise RegistryError(
            Code.DIGEST_INVALID,
            f"expected 'sha256:' and 64 hex digits, got {digest[:80]!r}",
        )
    return digest


def check_upload(upload: str) -> str:
    """Return `upload` if this registry could have given it out."""
    if not _UPLOAD.fullmatch(upload):
        raise RegistryError(Code.BLOB_UPLOAD_UNKNOWN, "there is no such upload")
    return upload


def is_digest(reference: str) -> bool:
    """Tell whether a manifest's reference is a digest rather than a tag."""
    return ":" in reference


def check_reference(reference: str) -> str:
    """Return `reference` if it is a tag or a digest."""
    if is_digest(reference):
        return check_digest(reference)
    if not _TAG.fullmatch(reference):
        raise RegistryError(
            Code.MANIFEST_INVALID,
            "expected a tag of at most 128 letters, digits, '_', '.' and '-', "
            f"got {reference[:80]!r}",
        )
    return reference
