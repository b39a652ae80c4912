"""The head of an HTTP/1 request: read by llhttp, then judged more strictly.

llhttp refuses two lengths, a length beside chunks, bare line feeds, folded
lines and odd characters. What is added here: one Host, no upgrade, no other
version, and a limit on the head itself, which the connection keeps.

Source: RFC 9112, 2.2, 3.2, 5, 6.3
"""

from dataclasses import dataclass, field

import httptools

HEAD_MAX_BYTES = 16_384
"""Room for a long authorization token; common servers allow 8 to 32 KiB."""

HEADERS_MAX = 100
"""Lines in one head, as many as Apache takes."""


class HttpError(Exception):
    """A request that is answered with `status` before anybody sees its body."""

    def __init__(self, status: int, sentence: str) -> None:
        """Keep what the client is told."""
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(slots=True)
class Head:
    """One request's head, filled in by the parser's callbacks.

    Attributes:
        headers: Names in lower case, in the order they came.
        length_bytes: Declared length of the body; 0 without one.
    """

    method: bytes = b""
    url: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    length_bytes: int = 0
    is_chunked: bool = False
    keeps_alive: bool = True
    expects_continue: bool = False
    hosts: int = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header line."""
        name = name.lower()
        self.headers.append((name, value))
        if name == b"content-length":
            self.length_bytes = int(value)
        elif name == b"host":
            self.hosts += 1
        elif name in _RARE:
            self._take_rare(name, value.lower())

    def _take_rare(self, name: bytes, value: bytes) -> None:
        if name == b"connection":
            tokens = {token.strip() for token in value.split(b",")}
            self.keeps_alive = b"close" not in tokens
        elif name == b"transfer-encoding":
            if value.strip() != b"chunked":
                raise HttpError(501, "the only transfer coding taken is chunked")
            self.is_chunked = True
        elif value.strip() == b"100-continue":
            self.expects_continue = True
        else:
            raise HttpError(417, "the only expectation met is 100-continue")


_RARE = frozenset({b"connection", b"transfer-encoding", b"expect"})


def parse_head(body: bytes) -> Head:
    """Read a request's head.

    Args:
        body: From the request line to the empty line, both included.

    Raises:
        HttpError: It breaks the protocol, or asks for what is not served.
    """
    head = Head()
    parser = httptools.HttpRequestParser(head)
    try:
        parser.feed_data(body)
    except httptools.HttpParserCallbackError as error:
        if isinstance(error.__context__, HttpError):
            raise error.__context__ from None
        raise HttpError(400, "the request's head is malformed") from error
    except httptools.HttpParserUpgrade as error:
        raise HttpError(501, "this server upgrades to no other protocol") from error
    except httptools.HttpParserError as error:
        raise HttpError(400, f"the request's head is malformed: {error}") from error
    head.method = parser.get_method()
    _judge(head, parser.get_http_version())
    return head


def _judge(head: Head, version: str) -> None:
    """Refuse what llhttp lets pass."""
    if version == "1.0":
        _judge_old(head)
    elif version != "1.1":
        raise HttpError(505, "this server speaks HTTP/1.1")
    elif head.hosts != 1:
        raise HttpError(400, "a request needs exactly one Host")
    if len(head.headers) > HEADERS_MAX:
        raise HttpError(431, f"a head may have {HEADERS_MAX} lines")
    if not head.url.startswith((b"/", b"*")):
        raise HttpError(400, "the request's target must be a path")


def _judge_old(head: Head) -> None:
    """HTTP/1.0 closes unless asked to stay, and knows no chunks."""
    if head.is_chunked:
        raise HttpError(400, "HTTP/1.0 has no chunks")
    asked = dict(head.headers).get(b"connection", b"").lower()
    head.keeps_alive = b"keep-alive" in asked
    head.expects_continue = False
