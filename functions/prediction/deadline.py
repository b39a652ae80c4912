"""Read how long a caller waits, from its headers and from its request.

Two ways to say it, and the shorter counts: `X-Request-Timeout` in seconds, and
the request parameters `timeout` (microseconds, as Triton's) and `timeout_ms`.
A gateway reads the same words in the same way.

A body is a copy here and no document: it is parsed neither whole nor at all
unless it holds the bytes `"timeout`, and then only its own `parameters` are,
which clients write before the tensors or after them. Where it is longer than
`EDGE_BYTES` it is looked at from both ends, so that no body costs more than some
milliseconds; `parameters` in the middle of a longer one are the container's.

Source: Open Inference Protocol, "Parameters"; Triton, "Schedule Policy
Extension"; edge_runtime/http/envelope.py; packhorse/inference/parameters.py
"""

import json
import math
import re
from collections.abc import Mapping

from packhorse.errors import MalformedError

TIMEOUT_MAX_S = 3600.0
"""Longer than anybody waits for an answer; Vertex AI's own longest time-out."""

EDGE_BYTES = 64 * 1024
"""At each end. Only tensors are long, and what else stands on that side of them is
names: the thousand outputs that may be asked for take about as much."""

PARAMETERS_MAX_BYTES = 16 * 1024
"""Of a request's `parameters` that may hold a time-out. Longer ones are refused:
a deadline that nobody read would not be kept."""

_WORD = b'"timeout'
_PARAMETERS = re.compile(rb'(?<!\\)"parameters"\s*:\s*\{')
# Taken whole, and to the end where it is never closed: see packhorse/strict_json.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_UNITS_S = {"timeout_ms": 1e-3, "timeout": 1e-6}
_DECODER = json.JSONDecoder()


def caller_timeout_s(
    header: str | None, body: bytes, json_size: int | None, *, limit_s: float
) -> float:
    """Return for how long an answer is worth the work, in seconds.

    Args:
        header: `X-Request-Timeout` as it came.
        body: The request's; empty where its `parameters` are not the protocol's.
        json_size: Length of the JSON before binary tensors; None where the whole
            body is JSON.
        limit_s: What the endpoint allows.

    Raises:
        MalformedError: It says something that is no time.
    """
    asked = [limit_s]
    if header is not None:
        asked.append(_seconds(header))
    end = len(body) if json_size is None else min(json_size, len(body))
    near = min(end, EDGE_BYTES + PARAMETERS_MAX_BYTES)
    far = max(0, end - EDGE_BYTES)
    if body.find(_WORD, 0, near) >= 0 or (
        near < end and body.find(_WORD, far, end) >= 0
    ):
        asked += _asked_in(body, end)
    return min(asked)


def header_timeout_s(headers: Mapping[bytes, bytes], *, limit_s: float) -> float:
    """Return what a request's head and the endpoint allow, before a body is here.

    Raises:
        MalformedError: The header says something that is no time.
    """
    header = headers.get(b"x-request-timeout")
    if header is None:
        return limit_s
    return min(limit_s, _seconds(header.decode("latin-1")))


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


def _asked_in(body: bytes, end: int) -> list[float]:
    """Return the time-outs of a request's own parameters; 0 says nothing."""
    brace = _find_from_start(body, end)
    if brace is None:
        brace = _find_from_end(body, end)
    if brace is None:
        return []
    parameters = _read_object(body[brace : min(brace + PARAMETERS_MAX_BYTES, end)])
    asked = [
        _duration_s(parameters[name], name, unit_s)
        for name, unit_s in _UNITS_S.items()
        if name in parameters
    ]
    return [timeout_s for timeout_s in asked if timeout_s > 0]


def _find_from_start(body: bytes, end: int) -> int | None:
    """Return where the request's own parameters open, near its beginning."""
    depth = at = 0
    for match in _PARAMETERS.finditer(body, 0, min(end, EDGE_BYTES)):
        depth += _depth_of(body[at : match.start()])
        at = match.start()
        if depth == 1:
            return match.end() - 1
    return None


def _find_from_end(body: bytes, end: int) -> int | None:
    """Return where the request's own parameters open, near its end."""
    matches = list(_PARAMETERS.finditer(body, max(0, end - EDGE_BYTES), end))
    depth, at = 0, end
    for match in reversed(matches):
        brace = match.end() - 1
        depth -= _depth_of(body[brace:at])
        at = brace
        if depth == 1:
            return brace
    return None


def _depth_of(text: bytes) -> int:
    """Return how many more objects and lists JSON opens than it closes."""
    bare = _STRING.sub(b"", text)
    opened = bare.count(b"{") + bare.count(b"[")
    return opened - bare.count(b"}") - bare.count(b"]")


def _read_object(text: bytes) -> dict[str, object]:
    """Read the object that `text` begins with."""
    try:
        found, _ = _DECODER.raw_decode(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        # Of plain ValueErrors: a number of over 4,300 digits.
        raise MalformedError(
            "the request's 'parameters' with a time-out must be a JSON object of at"
            f" most {PARAMETERS_MAX_BYTES} bytes"
        ) from error
    return dict(found)


def _duration_s(value: object, name: str, unit_s: float) -> float:
    is_flag = isinstance(value, bool)
    if isinstance(value, (int, float)) and not is_flag and 0 <= value < math.inf:
        # Cut first: an integer may be longer than any float.
        return min(value, TIMEOUT_MAX_S / unit_s) * unit_s
    raise MalformedError(
        f"the parameter {name!r} must be a number of 0 or more, came {_short(value)}"
    )


def _short(value: object) -> str:
    """Write a JSON value for a sentence, cut short; containers by kind only."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return json.dumps(value)[:40]
