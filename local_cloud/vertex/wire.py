"""How a faulty answer is made, and how it travels, stalls and breaks."""

import functools
import http
import json
import select
import socket
from collections.abc import Callable
from types import MappingProxyType

from local_cloud.google_http import (
    ApiError,
    RawReply,
    Reply,
    error_reply,
    reset_when_closed,
)
from local_cloud.vertex import kinds
from local_cloud.vertex.faults import PLACES, Fault

GARBAGE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is no HTTP\r\n\r\n"
_PIECES_PER_S = 20
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR

_UNKNOWN_CALLER = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, "
    "login cookie or other valid authentication credential. See https://"
    "developers.google.com/identity/sign-in/web/devconsole-project."
)
_DENIED = (
    "Permission 'aiplatform.endpoints.predict' denied on resource "
    "(or it may not exist)."
)
_SAID = MappingProxyType(
    {
        400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
        401: ("UNAUTHENTICATED", _UNKNOWN_CALLER),
        403: ("PERMISSION_DENIED", _DENIED),
        404: ("NOT_FOUND", "Requested entity was not found."),
        429: ("RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."),
        500: ("INTERNAL", "Internal error encountered."),
        501: ("UNIMPLEMENTED", "Operation is not implemented, or supported."),
        503: ("UNAVAILABLE", "The service is currently unavailable."),
        504: ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    }
)
"""What Google's front end says with a status."""

_HTML = """<!DOCTYPE html>
<html lang=en>
  <title>Error {code} (Server Error)!!1</title>
  <p><b>{code}.</b> <ins>That's an error.</ins>
"""
"""What it says where no API has been reached."""


def answer(
    fault: Fault, endpoint: str, ask: Callable[[], Reply | RawReply]
) -> Reply | RawReply:
    """Answer as the fault wants it.

    Args:
        fault: What the request meets.
        endpoint: Name of the endpoint.
        ask: Asks whoever answers when nothing is wrong; not called when the
            fault answers in its place.
    """
    reply = _said(fault, endpoint) or ask()
    if isinstance(reply, RawReply):
        return reply
    body = b" " * fault.body_bytes or reply.body
    reply = Reply(reply.status, body, {**reply.headers, **fault.headers})
    return RawReply(functools.partial(_write, fault=fault, reply=reply))


def _said(fault: Fault, endpoint: str) -> Reply | None:
    if fault.says:
        return _front_end(fault.says, endpoint)
    if not fault.status:
        return None
    kind = (
        "application/json"
        if fault.deployed_model
        else "application/json; charset=UTF-8"
    )
    reply = Reply(fault.status, fault.body.encode(), {"Content-Type": kind})
    if not fault.body:
        reply = google_error(fault.status)
    names = {}
    if fault.deployed_model:
        names = {
            "X-Vertex-AI-Endpoint-Id": endpoint.rsplit("/", 1)[1],
            "X-Vertex-AI-Deployed-Model-Id": fault.deployed_model,
        }
    return Reply(reply.status, reply.body, {**reply.headers, **names})


def google_error(status: int) -> Reply:
    """Make what Google's front end answers with an error status."""
    if status not in _SAID:
        text = _HTML.format(code=status)
        return Reply(
            status, text.encode(), {"Content-Type": "text/html; charset=UTF-8"}
        )
    word, sentence = _SAID[status]
    return error_reply(ApiError(word, sentence, code=status))


def _front_end(says: str, endpoint: str) -> Reply:
    if says == "expired":
        return _expired()
    if says == "gone":
        sentence = f"The Endpoint does not exist: {endpoint}"
        return error_reply(ApiError("NOT_FOUND", sentence))
    fields = kinds.own_fields(endpoint, {"dedicatedEndpointEnabled": True})
    return error_reply(kinds.moved(str(fields["dedicatedEndpointDns"])))


def _expired() -> Reply:
    plain = google_error(401)
    error = json.loads(plain.body)["error"]
    details = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ACCESS_TOKEN_EXPIRED",
        "domain": "googleapis.com",
        "metadata": {"service": "aiplatform.googleapis.com"},
    }
    body = json.dumps({"error": {**error, "details": [details]}}).encode()
    realm = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
    return Reply(401, body, {**plain.headers, "WWW-Authenticate": realm})


def _write(connection: socket.socket, *, fault: Fault, reply: Reply) -> bool:
    """Send the answer as the fault wants it.

    Returns:
        Whether a next request may come on this connection.
    """
    head, body = _encoded(reply, fault)
    ends = (0, len(head) // 2, len(head) + len(body) // 2, len(head) + len(body))
    place = dict(zip(PLACES, ends, strict=True))[fault.at]
    data = head + body
    connection.sendall(data[:place])
    _pause(connection, fault.stall_s)
    if fault.cut == "reset":
        reset_when_closed(connection)
    if fault.cut:
        return False
    _send(connection, memoryview(data)[place:], fault.bytes_per_s)
    # Whoever announced less leaves the rest in the way of the next answer.
    return not fault.is_garbage and fault.length_by <= 0


def _encoded(reply: Reply, fault: Fault) -> tuple[bytes, bytes]:
    if fault.is_garbage:
        return GARBAGE, b""
    phrase = http.HTTPStatus(reply.status).phrase if reply.status in _PHRASED else ""
    lines = [f"HTTP/1.1 {reply.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    length = len(reply.body) + fault.length_by
    body = _chunked(reply.body) if fault.is_chunked else reply.body
    framing = "Transfer-Encoding: chunked" if fault.is_chunked else ""
    lines.append(framing or f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1"), body


_PHRASED = frozenset(http.HTTPStatus)


def _chunked(body: bytes) -> bytes:
    middle = len(body) // 2
    pieces = [piece for piece in (body[:middle], body[middle:]) if piece]
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return b"".join([*chunks, b"0\r\n\r\n"])


def _send(connection: socket.socket, data: memoryview, bytes_per_s: int) -> None:
    if not bytes_per_s:
        connection.sendall(data)
        return
    size = max(1, bytes_per_s // _PIECES_PER_S)
    for begin in range(0, len(data), size):
        connection.sendall(data[begin : begin + size])
        _pause(connection, size / bytes_per_s)


def _pause(connection: socket.socket, seconds: float) -> None:
    """Wait, but not for a client that went away.

    Raises:
        ConnectionAbortedError: It did.
    """
    if seconds <= 0:
        return
    watch = select.poll()
    watch.register(connection, _GONE)
    if watch.poll(seconds * 1000):
        raise ConnectionAbortedError("the client went away")
