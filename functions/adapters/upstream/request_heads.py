"""Heads of requests to one origin.

Most of a head is the same each time: the request line and our own lines are
written once for each target.

Source: RFC 9112, 3 and 5
"""

from functions.adapters.upstream.answer import Headers
from functions.adapters.upstream.origin import Origin
from packhorse.errors import MalformedError

TARGETS_MAX = 512
"""Remembered; settings name fewer. Beyond it all are forgotten at once."""


class RequestHeads:
    """Writes the heads of requests to one origin."""

    def __init__(self, origin: Origin) -> None:
        """Write the lines that never change.

        Nothing here undoes a content coding, so none is asked for.
        """
        self._own_lines = (
            f" HTTP/1.1\r\nHost: {origin.authority}\r\nUser-Agent: packhorse\r\n"
            "Accept-Encoding: identity\r\n"
        ).encode("ascii")
        self._starts: dict[tuple[str, str], bytes] = {}

    def __len__(self) -> int:
        """Return how many targets are remembered."""
        return len(self._starts)

    def render(self, method: str, path: str, headers: Headers, length: int) -> bytes:
        """Return the head of one request, with the empty line that ends it.

        Raises:
            MalformedError: A part holds what would end its line early.
        """
        start = self._starts.get((method, path)) or self._start(method, path)
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        # A value with a line end in it would be a line, or a request, of its own.
        count = len(headers)
        if lines.count(b"\n") != count or lines.count(b"\r") != count:
            raise MalformedError("a header may not hold a line end")
        if length or method != "GET":
            return b"%b%bContent-Length: %d\r\n\r\n" % (start, lines, length)
        return b"%b%b\r\n" % (start, lines)

    def _start(self, method: str, path: str) -> bytes:
        line = f"{method} {path}"
        if not (method.isalpha() and path.startswith("/") and _is_visible(path)):
            raise MalformedError("expected a method, and a path in visible ASCII")
        if len(self._starts) >= TARGETS_MAX:
            self._starts.clear()
        start = self._starts[method, path] = line.encode("ascii") + self._own_lines
        return start


def _is_visible(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
