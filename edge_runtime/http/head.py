"""The head of an HTTP/1 request: read by llhttp, then judged more strictly.

llhttp refuses two lengths, a length beside chunks, bare line feeds, folded
lines and odd characters. What is added here: one Host, single spaces in the
request line, no other version or protocol, and a limit on the head itself, which
the connection keeps.

A client sends the same head again and again: the last ones are remembered byte
for byte, with what was read from them.

Source: RFC 9112, 2.2, 3.2, 5, 6.3
"""

import re
from dataclasses import dataclass, field

import httptools

from edge_runtime.http.envelope import PLAIN, Envelope, read_envelope
from packhorse.errors import MalformedError

HEAD_MAX_BYTES = 16_384
"""Room for a long authorization token; common servers allow 8 to 32 KiB."""

HEADERS_MAX = 100
"""Lines in one head, as many as Apache takes."""


REMEMBERED_MAX_BYTES = 1024
"""Heads longer than this are parsed each time: tokens and cookies make them so."""

REMEMBERED_MAX = 512
"""Heads kept; then all are forgotten at once. At most 1 MB with what they hold."""

SEEN_MAX = 4096
"""Heads that came once, known by a number each; then all are forgotten at once."""


class HttpError(Exception):
    """A request that is answered with `status` before anybody sees its body."""

    def __init__(self, status: int, sentence: str) -> None:
        """Keep what the client is told."""
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(slots=True)
class Head:
    """One request's head, filled in by the parser's callbacks; then it stays.

    Attributes:
        path: The target up to its query.
        headers: Names in lower case, in the order they came.
        length_bytes: Declared length of the body; 0 without one.
        envelope: What the headers say of the body and the answer.
        fault: What is wrong with those that matter to an inference; "" for nothing.
    """

    method: bytes = b""
    url: bytes = b""
    path: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    length_bytes: int = 0
    is_chunked: bool = False
    keeps_alive: bool = True
    expects_continue: bool = False
    hosts: int = 0
    envelope: Envelope = PLAIN
    fault: str = ""

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
            if b"close" in {token.strip() for token in value.split(b",")}:
                self.keeps_alive = False
        elif name == b"transfer-encoding":
            if value.strip() != b"chunked":
                raise HttpError(501, "the only transfer coding taken is chunked")
            self.is_chunked = True
        elif value.strip() == b"100-continue":
            self.expects_continue = True
        else:
            raise HttpError(417, "the only expectation met is 100-continue")


_ADDRESS = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)
_RARE = frozenset({b"connection", b"transfer-encoding", b"expect"})


class HeadMemory:
    """Reads heads, and remembers short ones that came more than once."""

    def __init__(self) -> None:
        """Start with none."""
        self._heads: dict[bytes, Head] = {}
        self._seen: set[int] = set()

    def __len__(self) -> int:
        """Return how many heads are remembered."""
        return len(self._heads)

    def read(self, body: bytes) -> Head:
        """Return the head that `body` is.

        Raises:
            HttpError: It breaks the protocol, or asks for what is not served.
        """
        head = self._heads.get(body)
        if head is None:
            head = parse_head(body)
            if len(body) <= REMEMBERED_MAX_BYTES:
                self._keep(body, head)
        return head

    def _keep(self, body: bytes, head: Head) -> None:
        """Remember a head at its second coming: most that differ never come again."""
        key = hash(body)
        if key not in self._seen:
            if len(self._seen) >= SEEN_MAX:
                self._seen.clear()
            self._seen.add(key)
            return
        if len(self._heads) >= REMEMBERED_MAX:
            self._heads.clear()
        self._heads[body] = head


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
        # RFC 9110, 7.8: an upgrade that is asked for may be ignored. Java's client
        # asks with its first request.
        if parser.get_method() == b"CONNECT":
            raise HttpError(501, "this server is no proxy") from error
    except httptools.HttpParserError as error:
        raise HttpError(400, f"the request's head is malformed: {error}") from error
    head.method = parser.get_method()
    _judge_line(head, body)
    _judge(head, parser.get_http_version())
    head.path = head.url.partition(b"?")[0]
    try:
        head.envelope = read_envelope(head.headers)
    except MalformedError as error:
        head.fault = str(error)
    return head


def _judge_line(head: Head, body: bytes) -> None:
    """Refuse a request line that llhttp reads more kindly than others do."""
    line = b"%b %b HTTP/" % (head.method, head.url)
    # RFC 9112, 2.2: one empty line before it is to be passed over.
    if not body.removeprefix(b"\r\n").startswith(line):
        raise HttpError(400, "expected a method, a target and HTTP/1.1 in one line")


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
    _judge_target(head)


def _judge_target(head: Head) -> None:
    """Refuse what is no target; of a whole address only the path matters here.

    Source: RFC 9112, 3.2
    """
    is_path = head.url.startswith(b"/")
    if not is_path and (whole := _ADDRESS.match(head.url)) is not None:
        head.url = b"/" + head.url[whole.end() :].removeprefix(b"/")
        is_path = True
    is_server = head.url == b"*" and head.method == b"OPTIONS"
    if b"#" in head.url or not (is_path or is_server):
        raise HttpError(400, "the request's target must be a path")


def _judge_old(head: Head) -> None:
    """HTTP/1.0 closes unless asked to stay, and knows no chunks."""
    if head.is_chunked:
        raise HttpError(400, "HTTP/1.0 has no chunks")
    asked = dict(head.headers).get(b"connection", b"").lower()
    head.keeps_alive = b"keep-alive" in asked
    head.expects_continue = False
