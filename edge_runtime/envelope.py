"""What a request's headers say of its body, and of how it wants to be answered.

Both transports read it: the hot path from the head that llhttp took apart,
Flask from its own headers.

Source: Open Inference Protocol, "Binary tensor data extension"; Triton, "Vertex
AI integration"; RFC 9110, 8.4, 12.5.3; W3C Trace Context, 3.2
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from packhorse.errors import MalformedError

TIMEOUT_MAX_S = 3600.0
"""Longer than anybody waits for an answer; Vertex AI's own longest time-out."""

CODINGS = frozenset({"gzip", "deflate"})

_JSON_SIZE = re.compile(r"json-header-size=([0-9]{1,12})(?:[;\s]|$)")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_LENGTH_DIGITS_MAX = 12


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the headers of one request say.

    Attributes:
        json_bytes: Length of the JSON that stands before binary tensors; None
            where the whole body is JSON.
        body_coding: "", or the body's content coding as the client names it.
        answer_coding: "gzip" or "deflate" where the client takes just that one.
            A list of several, as browsers send it, is no wish.
        timeout_s: Time from the request's arrival after which nobody waits.
        traceparent: W3C trace context; "" without a valid one.
    """

    json_bytes: int | None = None
    body_coding: str = ""
    answer_coding: str = ""
    timeout_s: float | None = None
    traceparent: str = ""

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
    values = {name: value.decode("latin-1") for name, value in headers if name in _READ}
    if not values:
        return PLAIN
    timeout = values.get(b"x-request-timeout")
    return Envelope(
        json_bytes=_json_bytes(values),
        body_coding=_coding(values.get(b"content-encoding", "")),
        answer_coding=_only_coding(values.get(b"accept-encoding", "")),
        timeout_s=None if timeout is None else _seconds(timeout),
        traceparent=_traceparent(values.get(b"traceparent", "")),
    )


_READ = frozenset(
    {
        b"inference-header-content-length",
        b"content-type",
        b"content-encoding",
        b"accept-encoding",
        b"x-request-timeout",
        b"traceparent",
    }
)


def _json_bytes(values: dict[bytes, str]) -> int | None:
    """Return the JSON's length, from the protocol's header or Vertex AI's type."""
    text = values.get(b"inference-header-content-length")
    if text is None:
        match = _JSON_SIZE.search(values.get(b"content-type", ""))
        return int(match.group(1)) if match else None
    if not text.isascii() or not text.isdigit() or len(text) > _LENGTH_DIGITS_MAX:
        raise MalformedError(
            "Inference-Header-Content-Length: expected the length of the JSON in"
            f" bytes, came {text[:40]!r}"
        )
    return int(text)


def _coding(text: str) -> str:
    coding = text.strip().lower()
    return "" if coding == "identity" else coding


def _only_coding(text: str) -> str:
    coding = text.strip().lower()
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
    match = _TRACEPARENT.fullmatch(text)
    if match is None or _is_zero(match.group(1)) or _is_zero(match.group(2)):
        return ""
    return text


def _is_zero(digits: str) -> bool:
    return not digits.strip("0")
