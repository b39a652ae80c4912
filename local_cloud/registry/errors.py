"""Errors of the registry, in the words of the OCI distribution specification.

A `RegistryError` carries one of the specification's codes and a sentence for
whoever sent the request. `server.py` alone knows which HTTP status goes with
which code.

Source: OCI distribution-spec 1.1, "Error Codes"
"""

from enum import StrEnum


class Code(StrEnum):
    """What is wrong, as the specification names it."""

    BLOB_UNKNOWN = "BLOB_UNKNOWN"
    BLOB_UPLOAD_INVALID = "BLOB_UPLOAD_INVALID"
    BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN"
    DIGEST_INVALID = "DIGEST_INVALID"
    MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
    NAME_INVALID = "NAME_INVALID"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    RANGE_INVALID = "RANGE_INVALID"
    SIZE_INVALID = "SIZE_INVALID"
    UNSUPPORTED = "UNSUPPORTED"


class RegistryError(Exception):
    """A request that the registry refuses."""

    def __init__(self, code: Code, message: str) -> None:
        """Keep the code beside the sentence."""
        super().__init__(message)
        self.code = code
