"""Serve one of Google's REST APIs on loopback.

Holds what all of them share: a threaded HTTP/1.1 server with keep-alive, a cap
on every body, the way from a path to a method, and errors in the one JSON shape
that Google's clients read. What is served is the business of the stand-in that
calls `start`.

Source: https://cloud.google.com/apis/design/errors, "HTTP mapping"
"""

import json
import re
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

M = TypeVar("M")

BODY_MAX_BYTES = 32 * 1024 * 1024
"""What is read of one request; a longer one is refused unread and disconnected."""

IDLE_S = 620.0
"""Google's front end keeps an idle connection for about ten minutes."""

_POLL_S = 0.1
"""How long `shutdown` may go unnoticed."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER, on, with no time: closing sends RST instead of FIN."""

_HTTP_STATUSES = MappingProxyType(
    {
        "INVALID_ARGUMENT": 400,
        "FAILED_PRECONDITION": 400,
        "UNAUTHENTICATED": 401,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "ABORTED": 409,
        "RESOURCE_EXHAUSTED": 429,
        "INTERNAL": 500,
        "UNIMPLEMENTED": 501,
        "UNAVAILABLE": 503,
        "DEADLINE_EXCEEDED": 504,
    }
)


class ApiError(Exception):
    """What an API answers instead of a result.

    Attributes:
        status: The word of google.rpc.Code, such as `NOT_FOUND`.
        message: A sentence for the caller.
        code: The HTTP status.
    """

    def __init__(self, status: str, message: str, *, code: int | None = None) -> None:
        """Hold the error; the HTTP status follows from `status` unless given."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or _HTTP_STATUSES[status]


@dataclass(frozen=True, slots=True)
class Request:
    """One request: decoded path, last value of each query field, whole body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json_object(self) -> dict[str, object]:
        """Decode the body as a JSON object; an empty body is an empty object."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise ApiError("INVALID_ARGUMENT", "expected a JSON body") from error
        if not isinstance(value, dict):
            raise ApiError("INVALID_ARGUMENT", "expected a JSON object as the body")
        return value


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; `Content-Length` is added when it is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RawReply:
    """Writes the answer itself, be it one or not.

    Attributes:
        write: Gets the connection; says whether it may be used again.
    """

    write: Callable[[socket.socket], bool]


Handler = Callable[[Request], Reply | RawReply]


def json_reply(value: object, status: int = 200) -> Reply:
    """Make a reply of `value` as JSON."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return Reply(status, body, {"Content-Type": "application/json; charset=UTF-8"})


def error_reply(error: ApiError) -> Reply:
    """Make Google's reply for `error`."""
    fields = {"code": error.code, "message": error.message, "status": error.status}
    return json_reply({"error": fields}, error.code)


def reset_when_closed(connection: socket.socket) -> None:
    """Let the connection end as if this process had been killed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def timestamp_now() -> str:
    """Return the time of day as a protobuf Timestamp in JSON."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def find_route(
    routes: Iterable[tuple[str, re.Pattern[str], M]], request: Request
) -> tuple[M, str]:
    """Return the first method whose verb and path fit, and the path's `name`.

    Raises:
        ApiError: None does; it tells the path, as Google's front end does.
    """
    for verb, pattern, method in routes:
        found = pattern.fullmatch(request.path)
        if found and verb == request.method:
            return method, found["name"]
    sentence = f"this stand-in knows no {request.method} {request.path}"
    raise ApiError("NOT_FOUND", sentence)


class Server(ThreadingHTTPServer):
    """A server that hands every request to one function."""

    daemon_threads = True
    # A client may open all its connections at once; none must wait for a SYN again.
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], handler: Handler) -> None:
        """Bind `address`; port 0 takes any free one."""
        super().__init__(address, _Connection)
        self.handler = handler

    @property
    def port(self) -> int:
        """The port that is bound."""
        return int(self.server_address[1])

    def shutdown_request(
        self, request: socket.socket | tuple[bytes, socket.socket]
    ) -> None:
        """End a connection; one that is to be reset is not finished first."""
        if isinstance(request, socket.socket) and _is_to_be_reset(request):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, *_args: object) -> None:
        """Say nothing of a client that went away, and all of anything else."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            traceback.print_exc()


def _is_to_be_reset(connection: socket.socket) -> bool:
    size = len(_RESET)
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, size) == _RESET


def start(host: str, port: int, handler: Handler) -> Server:
    """Serve `handler` from a background thread until `shutdown` is called."""
    server = Server((host, port), handler)
    thread = threading.Thread(
        target=server.serve_forever, args=(_POLL_S,), daemon=True, name="http"
    )
    thread.start()
    return server


class _Connection(BaseHTTPRequestHandler):
    """One connection, kept alive between requests."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "local_cloud"
    sys_version = ""
    timeout = IDLE_S
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        """Read one request, answer it, and say why when that is not possible."""
        reply: Reply | RawReply
        try:
            reply = self.server.handler(self._read_request())
        except ApiError as error:
            reply = error_reply(error)
        except Exception:  # noqa: BLE001  the last handler of this server
            traceback.print_exc()
            reply = error_reply(ApiError("INTERNAL", "Internal error encountered."))
        if isinstance(reply, RawReply):
            self.close_connection |= not reply.write(self.connection)
        else:
            self._write(reply)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815

    def _read_request(self) -> Request:
        url = urlsplit(self.path)
        body = self._read_body()
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, unquote(url.path), query, headers, body)

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit():
            self.close_connection = True
            raise ApiError("INVALID_ARGUMENT", "expected Content-Length", code=411)
        if int(length) > BODY_MAX_BYTES:
            self.close_connection = True
            sentence = f"expected at most {BODY_MAX_BYTES} bytes, {length} came"
            raise ApiError("INVALID_ARGUMENT", sentence, code=413)
        return self.rfile.read(int(length))

    def _write(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    def log_message(self, *_args: object) -> None:
        """Log nothing per request; this is a stand-in, not a service."""
