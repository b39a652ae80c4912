"""Call a WSGI app with a whole request, and return its whole answer.

Source: PEP 3333
"""

import io
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol
from urllib.parse import unquote_to_bytes

from edge_runtime.http.head import Head
from edge_runtime.http.replies import Body, Reply

ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
_OURS = frozenset({"content-length", "content-type", "connection", "date"})
_READ = frozenset({b"content-length", b"transfer-encoding"})
"""Headers of a body that is whole by now: Flask takes a chunked one for none."""


class StartResponse(Protocol):
    """What an app calls to begin its answer."""

    def __call__(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
    ) -> Callable[[bytes], object]:
        """Take status line and headers."""


WsgiApp = Callable[[dict[str, object], StartResponse], Iterable[bytes]]


def call_wsgi(app: WsgiApp, head: Head, body: Body) -> Reply:
    """Let `app` answer one request."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,  # noqa: ARG001 - nothing is sent yet
    ) -> Callable[[bytes], object]:
        begun.append((status, headers))
        return written.append

    parts = app(_environ(head, body), start_response)
    try:
        written.extend(parts)
    finally:
        if (close := getattr(parts, "close", None)) is not None:
            close()
    status, headers = begun[-1]
    types = [value for name, value in headers if name.lower() == "content-type"]
    return Reply(
        status=int(status[:3]),
        body=b"".join(written),
        content_type=types[-1] if types else "application/octet-stream",
        headers=tuple(pair for pair in headers if pair[0].lower() not in _OURS),
    )


def _environ(head: Head, body: Body) -> dict[str, object]:
    path, _, query = head.url.partition(b"?")
    environ: dict[str, object] = {
        "REQUEST_METHOD": head.method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in head.headers:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value.decode("latin-1")
        elif name not in _READ and b"_" not in name:
            environ[f"HTTP_{key}"] = value.decode("latin-1")
    return environ
