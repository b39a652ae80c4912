"""Read requests within limits, and word the replies.

Source: OCI distribution-spec 1.1, "Endpoints" and "Error Codes"
"""

import asyncio
import re
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from local_cloud.registry.errors import Code, RegistryError
from local_cloud.registry.names import check_reference, check_repository, check_upload

STALL_S = 60.0
"""A client that sends nothing for this long is given up."""

TAGS_MAX = 1000
"""Tags on one page."""

_BAD_REQUEST = 400
_STATUS = {
    Code.BLOB_UNKNOWN: 404,
    Code.BLOB_UPLOAD_INVALID: 409,
    Code.BLOB_UPLOAD_UNKNOWN: 404,
    Code.MANIFEST_UNKNOWN: 404,
    Code.NAME_UNKNOWN: 404,
    Code.RANGE_INVALID: 416,
    Code.SIZE_INVALID: 413,
    Code.UNSUPPORTED: 405,
}
"""Any other code is the sender's mistake."""

_RANGE = re.compile(r"(?:bytes )?(\d{1,18})-(\d{1,18})")


def repository_of(request: Request) -> str:
    """Return the repository that the path names, checked."""
    return check_repository(request.path_params["name"])


def reference_of(request: Request) -> str:
    """Return the tag or digest that the path names, checked."""
    return check_reference(request.path_params["reference"])


def upload_of(request: Request) -> str:
    """Return the upload that the path names, checked."""
    return check_upload(request.path_params["upload"])


def page_size_of(request: Request) -> int:
    """Return how many tags the client wants at once."""
    text = request.query_params.get("n", str(TAGS_MAX))
    if not text.isascii() or not text.isdigit() or len(text) > len(str(TAGS_MAX)):
        raise RegistryError(
            Code.SIZE_INVALID, f"expected n in 0..{TAGS_MAX}, got {text[:80]!r}"
        )
    return min(int(text), TAGS_MAX)


def check_content_range(request: Request, start: int) -> None:
    """Refuse a piece that does not begin where the upload ends."""
    text = request.headers.get("content-range")
    if text is None:
        return
    match = _RANGE.match(text)
    if match is None or int(match[1]) != start:
        raise RegistryError(
            Code.RANGE_INVALID,
            f"expected a piece that begins at byte {start}, got {text[:80]!r}",
        )


async def read_chunks(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    """Read a body piece by piece, never more than `limit_bytes`."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > limit_bytes:
        raise _too_long(limit_bytes)
    stream, came = aiter(request.stream()), 0
    while chunk := await asyncio.wait_for(anext(stream, b""), STALL_S):
        came += len(chunk)
        if came > limit_bytes:
            raise _too_long(limit_bytes)
        yield chunk


def created_blob(repository: str, digest: str) -> Response:
    """Say that a blob is here."""
    headers = {
        "Location": f"/v2/{repository}/blobs/{digest}",
        "Docker-Content-Digest": digest,
    }
    return Response(status_code=201, headers=headers)


def upload_state(
    repository: str, upload: str, length_bytes: int, *, status: int = 202
) -> Response:
    """Say where an upload goes on and how much of it is here."""
    headers = {
        "Location": f"/v2/{repository}/blobs/uploads/{upload}",
        "Range": f"0-{max(length_bytes - 1, 0)}",
        "Docker-Upload-UUID": upload,
    }
    return Response(status_code=status, headers=headers)


async def refuse(_request: Request, error: Exception) -> Response:
    """Answer a `RegistryError`."""
    assert isinstance(error, RegistryError)  # noqa: S101 - Starlette looked it up by type
    return _errors(error.code, str(error), _STATUS.get(error.code, _BAD_REQUEST))


async def refuse_route(_request: Request, error: Exception) -> Response:
    """Answer what no route or method serves."""
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette looked it up by type
    return _errors(Code.UNSUPPORTED, error.detail, error.status_code)


async def give_up(_request: Request, _error: Exception) -> Response:
    """Answer a client that went away or stalled; nothing of it was kept."""
    return _errors(Code.BLOB_UPLOAD_INVALID, "the body did not arrive", 408)


HANDLERS = {
    RegistryError: refuse,
    HTTPException: refuse_route,
    ClientDisconnect: give_up,
    TimeoutError: give_up,
}


def _errors(code: Code, message: str, status: int) -> Response:
    return JSONResponse({"errors": [{"code": code, "message": message}]}, status)


def _too_long(limit_bytes: int) -> RegistryError:
    return RegistryError(
        Code.SIZE_INVALID, f"expected at most {limit_bytes} bytes, got more"
    )
