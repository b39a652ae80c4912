"""Translate headers between callers and Vertex AI.

Vertex AI delivers every `rawPredict` to one route and promises to forward no
header but the content type. So the length of a binary request's JSON part goes
upstream within the content type, and comes back as the header that the caller's
protocol has.

Source: Open Inference Protocol, binary tensor data extension; Triton Inference
Server, "Vertex AI support"; W3C Trace Context; Cloud Trace,
`X-Cloud-Trace-Context`
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from packhorse.errors import MalformedError

JSON = "application/json"
_BINARY = "application/vnd.vertex-ai-triton.binary+json;json-header-size="
_OCTETS = b"application/octet-stream"
_SIZE = re.compile(rb"[0-9]{1,9}")
_UPSTREAM_SIZE = re.compile(r"json-header-size=([0-9]{1,9})(?![0-9])")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
    rb"(?:-.*)?"
)
_CLOUD_TRACE = re.compile(rb"(?!0{32})([0-9a-f]{32})(?:/([0-9]{1,20}))?(?:;o=([01]))?")

Raw = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Trace:
    """Which trace a request belongs to; all empty for none.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits: the caller's span.
    """

    trace_id: str = ""
    span_id: str = ""
    is_sampled: bool = False


NO_TRACE = Trace()


def request_id(came: bytes | None) -> str:
    """Return the caller's id where a log can bear it, else a new one."""
    if came is not None and _REQUEST_ID.fullmatch(came):
        return came.decode()
    return os.urandom(16).hex()


def read_trace(headers: Mapping[bytes, bytes]) -> Trace:
    """Read which trace a request belongs to; what is malformed counts as absent."""
    if (value := headers.get(b"traceparent")) is not None and (
        match := _TRACEPARENT.fullmatch(value)
    ):
        trace_id, span_id, flags = match.groups()
        return Trace(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & 1))
    if (value := headers.get(b"x-cloud-trace-context")) is not None and (
        match := _CLOUD_TRACE.fullmatch(value)
    ):
        trace_id, span, option = match.groups()
        span_id = f"{int(span) % 2**64:016x}" if span else ""
        return Trace(trace_id.decode(), span_id, option == b"1")
    return NO_TRACE


def json_size(headers: Mapping[bytes, bytes]) -> int | None:
    """Read how long the JSON part of a binary request is; None for no binary one.

    Raises:
        MalformedError: It is no number.
    """
    size = headers.get(b"inference-header-content-length")
    if size is None:
        return None
    if not _SIZE.fullmatch(size):
        shown = size[:40].decode("latin-1")
        raise MalformedError(
            f"Inference-Header-Content-Length must be a number, not {shown!r}"
        )
    return int(size)


def upstream_type(headers: Mapping[bytes, bytes], size: int | None) -> str:
    """Say upstream what a body is, and where the JSON part of a binary one ends."""
    if size is not None:
        return f"{_BINARY}{size}"
    return headers.get(b"content-type", b"application/json").decode("latin-1")


def answer_headers(came: Mapping[str, str], length: int) -> list[Raw]:
    """Tell the caller what the body is that came from upstream, and when to retry.

    Args:
        came: Upstream's, names in lower case.
        length: Of the body: a JSON part that would be longer is none.
    """
    content_type = came.get("content-type", JSON)
    headers = [(b"content-type", content_type.encode("latin-1"))]
    match = _UPSTREAM_SIZE.search(content_type)
    if match and int(match.group(1)) <= length:
        headers = [
            (b"content-type", _OCTETS),
            (b"inference-header-content-length", match.group(1).encode()),
        ]
    for name in ("retry-after", "content-encoding"):
        if value := came.get(name):
            headers.append((name.encode(), value.encode("latin-1")))
    return headers
