"""Answer for every function: the one table from error to status, the one log.

An HTTP function wears `as_json`, or `as_guarded_json` when only verified
callers may enter; an event function wears `as_event`. All three write one line
of structured log per request, and let no exception's text out that is not a
sentence of our own.

An event function has two answers that matter to Pub/Sub: 2xx, never again, and
anything else, later. A message that no retry can cure is logged as refused and
acknowledged; where it belongs to a release or a device, the function has
recorded it before it raised.
"""

import functools
import json
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import flask
from cloudevents.http import CloudEvent

from functions import wiring
from functions.errors import (
    CloudError,
    ConflictError,
    DeviceRefusedError,
    EncodingError,
    EnrolmentRefusedError,
    LateAnswerError,
    MethodError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    PreconditionMissingError,
    ReleaseRefusedError,
    ReportRefusedError,
    RolloutError,
    SlowBodyError,
    StaleError,
    StoppingError,
    UnauthorisedError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from functions.events import Message, decode_message
from packhorse.errors import (
    LimitExceededError,
    MalformedError,
    PackhorseError,
    UntrustedError,
)

_SERVER_ERROR = 500
_DRAIN_CHUNK_BYTES = 65_536
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    # First match wins, so a subclass stands before its base.
    (LimitExceededError, 413),
    (MalformedError, 400),
    (UntrustedError, 403),
    (NotAllowedError, 403),
    (UnauthorisedError, 401),
    (NotFoundError, 404),
    (MethodError, 405),
    (SlowBodyError, 408),
    (EncodingError, 415),
    (EnrolmentRefusedError, 403),
    (DeviceRefusedError, 403),
    (StaleError, 412),
    (ConflictError, 409),
    (ReleaseRefusedError, 409),
    (RolloutError, 409),
    (ReportRefusedError, 409),
    (PreconditionMissingError, 428),
    (OverloadedError, 503),
    (StoppingError, 503),
    (LateAnswerError, 504),
    (UpstreamUnavailableError, 503),
    (UpstreamRefusedError, 502),
)

_PERMANENT = (
    # What no redelivery can cure. A conflict is not here: it is read anew.
    # Nor is UpstreamRefusedError: a missing permission is mended by a person,
    # and the dead-letter topic keeps the message until then.
    PackhorseError,
    ReleaseRefusedError,
    ReportRefusedError,
    NotFoundError,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an HTTP function answers.

    Attributes:
        body: Written as JSON; bytes go out as they are, under the content type
            that `headers` name.
    """

    status: int
    body: Mapping[str, object] | bytes = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


ALREADY_THERE = Reply(200)
ACCEPTED = Reply(202)
_OUR_FAULT = Reply(_SERVER_ERROR, {"error": "this is our fault; it is logged"})


def ok(body: Mapping[str, object], **headers: str) -> Reply:
    """Answer 200 with a body; `headers` names have `_` where HTTP has `-`."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(200, body, names)


def note(**ids: object) -> None:
    """Add ids, counts or an outcome to this request's log line."""
    flask.g.setdefault("noted", {}).update(ids)


def read_body(request: flask.Request, *, limit_bytes: int) -> bytes:
    """Read a request's body, at most `limit_bytes` of it.

    Raises:
        LimitExceededError: The body is longer.
    """
    body = request.stream.read(limit_bytes + 1)
    if len(body) <= limit_bytes:
        return body
    # The framework reads what is left into memory before it answers; so that
    # it finds nothing, the rest is thrown away here piece by piece.
    while request.stream.read(_DRAIN_CHUNK_BYTES):
        pass
    raise LimitExceededError(f"the body must be at most {limit_bytes} bytes long")


def as_json(
    function: Callable[[flask.Request], Reply],
) -> Callable[[flask.Request], flask.Response]:
    """Make an HTTP function that anyone may call.

    It must find in the body itself what proves the right to call.
    """

    @functools.wraps(function)
    def answer(request: flask.Request) -> flask.Response:
        return _answered(function.__name__, lambda: function(request))

    return answer


def as_guarded_json(
    function: Callable[[flask.Request, str], Reply],
) -> Callable[[flask.Request], flask.Response]:
    """Make an HTTP function that only verified callers may call.

    The function's second argument is the caller's verified email.
    """

    @functools.wraps(function)
    def answer(request: flask.Request) -> flask.Response:
        return _answered(
            function.__name__, lambda: function(request, _verified_caller())
        )

    return answer


def as_event(
    function: Callable[[Message], None],
) -> Callable[[CloudEvent], None]:
    """Make an event function out of one that takes a decoded message."""

    @functools.wraps(function)
    def take(cloud_event: CloudEvent) -> None:
        def run() -> Reply:
            _verified_caller()
            message = decode_message(cloud_event)
            note(message=message.id, published_at=message.published_at.isoformat())
            function(message)
            return ALREADY_THERE

        response = _answered(function.__name__, run, acknowledged=_PERMANENT)
        if response.status_code != ALREADY_THERE.status:
            # The framework answers OK unless the function raises.
            flask.abort(response)

    return take


def last_answer(error: Exception) -> flask.Response:
    """Answer what no function caught: the framework's own words stay inside.

    `main.py` installs it. The framework would echo the request's headers, so
    the token too, for an event that it cannot read.
    """
    status = getattr(error, "code", None) or _SERVER_ERROR
    response = getattr(error, "response", None)
    if isinstance(response, flask.Response):
        return response
    _log("request failed", status=status, where=_where(error))
    return _response(Reply(status, {"error": f"the request failed with {status}"}))


def _verified_caller() -> str:
    caller = wiring.callers().check(flask.request.headers.get("Authorization", ""))
    note(caller=caller)
    return caller


def _answered(
    name: str,
    run: Callable[[], Reply],
    *,
    acknowledged: tuple[type[Exception], ...] = (),
) -> flask.Response:
    started = time.monotonic()
    fields: dict[str, object] = {}
    try:
        reply = run()
        outcome = "done"
    except (CloudError, PackhorseError) as error:
        reply = _error_reply(error, acknowledged)
        outcome = "failed" if reply.status >= _SERVER_ERROR else "refused"
        fields["reason"] = str(error)
        fields["cause"] = _cause(error)
    except Exception as error:  # noqa: BLE001 - the server's last handler
        reply = _OUR_FAULT
        outcome = "crashed"
        fields["where"] = _where(error)
    took_ms = round((time.monotonic() - started) * 1000, 1)
    _log(f"{name} {outcome}", status=reply.status, took_ms=took_ms, **fields)
    return _response(reply)


def _error_reply(error: Exception, acknowledged: tuple[type[Exception], ...]) -> Reply:
    body: dict[str, object] = {"error": str(error)}
    if isinstance(error, DeviceRefusedError):
        body |= error.told
    if isinstance(error, acknowledged):
        return Reply(ALREADY_THERE.status, body)
    status = status_of(error)
    # How this process is set up is no business of the caller's.
    return _OUR_FAULT if status is None else Reply(status, body)


def status_of(error: Exception) -> int | None:
    """Return the status that tells of an error; None where it is not to be told."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return None


def _cause(error: BaseException) -> str:
    """Name the kind of what lies under an error of ours; its text stays out."""
    return type(error.__cause__).__name__ if error.__cause__ else ""


def _where(error: BaseException) -> list[str]:
    """Name a crash's kind and places; its text may hold a secret, so not that."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return [type(error).__name__, *places[-8:]]


def _response(reply: Reply) -> flask.Response:
    body = reply.body
    response = flask.Response(
        body if isinstance(body, bytes) else json.dumps(body, sort_keys=True) + "\n",
        status=reply.status,
        mimetype="application/json",
    )
    response.headers.update(reply.headers)
    return response


def _log(event: str, *, status: int, **fields: object) -> None:
    severity = "ERROR" if status >= _SERVER_ERROR else "INFO"
    if "reason" in fields and severity == "INFO":
        severity = "WARNING"
    now = datetime.now(UTC).isoformat()
    line: dict[str, object] = {"time": now, "severity": severity, "event": event}
    line["status"] = status
    trace = _TRACEPARENT.fullmatch(flask.request.headers.get("traceparent", ""))
    if trace:
        line["trace"] = trace.group(1)
    line.update(flask.g.get("noted", {}))
    line.update({name: value for name, value in fields.items() if value != ""})
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()
