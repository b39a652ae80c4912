"""The one line of log for each request, as Cloud Logging reads it.

Nothing that authenticates is in it, no body and no query: only what is named
here. It is written at once and whole, past `logging`, which would cost more than
the proxying does.

Source: Cloud Logging, "Structured logging", special JSON fields; HttpRequest
"""

import json
import os
import sys
import traceback
from dataclasses import dataclass, field

from functions.prediction.headers import NO_TRACE, Trace

_SERVER_ERROR = 500
_CLIENT_ERROR = 400
_PATH_MAX = 500
_FRAMES = 8
_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


@dataclass(slots=True)
class RequestLine:
    """What becomes known of a request while it is answered.

    Attributes:
        method: As it came.
        path: As it came, without the query.
        outcome: "done", "refused", "failed", "crashed", "gone" for a caller that
            left, or "stopped" for what was under way when the process ended.
        reason: The sentence that the caller got in place of an answer.
        error: The kind of the error, as the metrics count it.
        cause: The kind of the error beneath; never its text.
        where: The places of a crash.
        status: What the caller got.
        tries: How often upstream was asked.
        sent_bytes: Length of the body that went upstream.
        received_bytes: Length of the body that came back.
        answered_bytes: Length of the body that the caller got.
        upstream_s: What the try took whose answer is passed on.
        elsewhere_s: What was waited for the caller and for upstream.
    """

    method: str
    path: str
    request_id: str
    trace: Trace = NO_TRACE
    outcome: str = "done"
    reason: str = ""
    error: str = ""
    cause: str = ""
    where: list[str] = field(default_factory=list)
    status: int = 0
    model: str = ""
    release: str = ""
    deployed_model_id: str = ""
    tries: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    answered_bytes: int = 0
    upstream_s: float = 0.0
    elsewhere_s: float = 0.0
    is_unexpected: bool = False

    def blame(self, error: BaseException) -> None:
        """Name a crash's kind and places; its text may hold a secret, so not that."""
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self.where = [type(error).__name__, *places]


def render(line: RequestLine, *, latency_s: float, project: str) -> bytes:
    """Write a request's line.

    Args:
        line: What is known.
        latency_s: From the first byte of the head to the answer's.
        project: Whose traces are named; empty when nobody said.
    """
    entry: dict[str, object] = {
        "severity": _severity(line.status),
        "message": f"predict {line.outcome}",
        "httpRequest": {
            "requestMethod": line.method[:20],
            "requestUrl": line.path[:_PATH_MAX],
            "status": line.status,
            "requestSize": str(line.sent_bytes),
            "responseSize": str(line.answered_bytes),
            "latency": f"{latency_s:.6f}s",
        },
        "outcome": line.outcome,
        "request_id": line.request_id,
        "own_ms": round(max(0.0, latency_s - line.elsewhere_s) * 1000, 3),
    }
    if line.model:
        entry["model"] = line.model
    if line.tries:
        _add_upstream(entry, line)
    if line.trace is not NO_TRACE:
        _add_trace(entry, line.trace, project)
    if line.reason or line.where:
        _add_fault(entry, line)
    return _ENCODE(entry).encode() + b"\n"


def write(line: bytes) -> None:
    """Write a line to standard output, whole, and without a lock or a buffer."""
    try:
        os.write(sys.stdout.fileno(), line)
    except (OSError, ValueError):
        # Nobody reads it any more; the answer is worth more than its line.
        return


def _add_upstream(entry: dict[str, object], line: RequestLine) -> None:
    entry["release"] = line.release
    entry["deployed_model_id"] = line.deployed_model_id
    entry["upstream_ms"] = round(line.upstream_s * 1000, 3)
    entry["tries"] = line.tries
    entry["sent_bytes"] = line.sent_bytes
    entry["received_bytes"] = line.received_bytes
    entry["is_unexpected"] = line.is_unexpected


def _add_trace(entry: dict[str, object], trace: Trace, project: str) -> None:
    name = f"projects/{project}/traces/{trace.trace_id}" if project else trace.trace_id
    entry["logging.googleapis.com/trace"] = name
    if trace.span_id:
        entry["logging.googleapis.com/spanId"] = trace.span_id
    entry["logging.googleapis.com/trace_sampled"] = trace.is_sampled


def _add_fault(entry: dict[str, object], line: RequestLine) -> None:
    for name in ("reason", "error", "cause", "where"):
        if value := getattr(line, name):
            entry[name] = value


def _severity(status: int) -> str:
    if status >= _SERVER_ERROR:
        return "ERROR"
    return "WARNING" if status >= _CLIENT_ERROR else "INFO"
