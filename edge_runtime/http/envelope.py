"""What a request's headers say of its body, and of how it wants to be answered.

Both transports read it: the hot path from the head that llhttp took apart,
Flask from its own headers.

Source: Open Inference Protocol, "Binary tensor data extension"; Triton, "Vertex
AI integration"; RFC 9110, 8.4, 12.5.3; W3C Trace Context, 3.2
"""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from packhorse.errors import MalformedError

TIMEOUT_MAX_S = 3600.0
"""Longer than anybody waits for an answer; Vertex AI's own longest time-out."""

CODINGS = frozenset({"gzip", "deflate"})

_JSON_SIZE = re.compile(r"json-header-size=([0-9]{1,12})(?:[;\s]|$)")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LENGTH_DIGITS_MAX = 12
_SPACE = " \t"
"""What may stand around a value; Python takes more for space than HTTP does.

Source: RFC 9110, 5.6.3
"""


class Envelope(NamedTuple):
    """What the headers of one request say.

    Attributes:
        json_bytes: Length of the JSON that stands before binary tensors; None
            where the whole body is JSON.
        body_coding: "", or the body's content coding as the client names it.
        answer_coding: "gzip" or "deflate" where the client takes just that one.
            A list of several, as browsers send it, is no wish.
        timeout_s: Time from the request's arrival after which nobody waits.
        traceparent: W3C trace context; "" without a valid one.
        is_vertex: Whether the JSON's length stands in the content type, for Vertex
            AI promises to pass on no other header; nor of the answer.
    """

    json_bytes: int | None = None
    body_coding: str = ""
    answer_coding: str = ""
    timeout_s: float | None = None
    traceparent: str = ""
    is_vertex: bool = False

    @property
    def trace_id(self) -> str:
        """The trace's id, 32 hex digits; "" without one."""
        return self.traceparent[3:35]


PLAIN = Envelope()
"""A request without any such header."""


def read_envelope(headers: Iterable[tuple[bytes, bytes]]) -> Envelope:
    """Read the headers that matter to an inference request.

    Args:
        headers: Names in lower case.

    Raises:
        MalformedError: A length or time-out is no number within its limits.
    """
    found = {name: value for name, value in headers if name in _READERS}
    is_vertex = b"json-header-size" in found.get(_KIND, b"")
    if _KIND in found and (not is_vertex or _JSON_LENGTH in found):
        del found[_KIND]
        is_vertex = False
    if not found:
        return PLAIN
    fields: dict[str, Any] = {}
    for name, value in found.items():
        field, read = _READERS[name]
        fields[field] = read(value.decode("latin-1"))
    return Envelope(**fields, is_vertex=is_vertex)


def _length(text: str) -> int:
    """Return the JSON's length from the protocol's header."""
    if not text.isascii() or not text.isdigit() or len(text) > _LENGTH_DIGITS_MAX:
        raise MalformedError(
            "Inference-Header-Content-Length: expected the length of the JSON in"
            f" bytes, came {text[:40]!r}"
        )
    return int(text)


def _size(text: str) -> int | None:
    """Return the JSON's length from Vertex AI's content type."""
    match = _JSON_SIZE.search(text)
    return int(match.group(1)) if match else None


def _coding(text: str) -> str:
    coding = text.strip(_SPACE).lower()
    return "" if coding == "identity" else coding


def _only_coding(text: str) -> str:
    coding = text.strip(_SPACE).lower()
    return coding if coding in CODINGS else ""


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value <= TIMEOUT_MAX_S:
        raise MalformedError(
            f"X-Request-Timeout: expected seconds between 0 and {TIMEOUT_MAX_S:g},"
            f" came {text[:40]!r}"
        )
    return value


def _traceparent(text: str) -> str:
    """Return a valid trace context; a broken one is as good as none."""
    return text if _TRACEPARENT.fullmatch(text) else ""


_KIND = b"content-type"
_JSON_LENGTH = b"inference-header-content-length"
_READERS: dict[bytes, tuple[str, Callable[[str], object]]] = {
    _JSON_LENGTH: ("json_bytes", _length),
    _KIND: ("json_bytes", _size),
    b"content-encoding": ("body_coding", _coding),
    b"accept-encoding": ("answer_coding", _only_coding),
    b"x-request-timeout": ("timeout_s", _seconds),
    b"traceparent": ("traceparent", _traceparent),
}
"""Each header, the field that it fills, and what reads it."""
