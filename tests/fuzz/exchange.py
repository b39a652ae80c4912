"""Requests as the fuzzer sends them, and answers read byte by byte.

The reader takes nothing on trust: an answer has one status line, one
Content-Length, exactly that body, and nothing follows the last one.
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise

HEAD_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [ -~]+")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t -~\x80-\xff]*)")


class BrokenAnswerError(Exception):
    """What came is no HTTP answer."""


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: dict
    body: bytes

    @property
    def closes(self):
        return self.headers.get("connection") == "close"


@dataclass(frozen=True)
class Sent:
    """One request whose head and body are where they should be.

    Attributes:
        served: The model whose answer is held against its oracle; None for a
            request that leads to none.
        is_predict: Whether its body has `instances`.
        is_valid: Whether nothing is wrong with it, so that it must be answered.
        body: As it is before chunking.
    """

    method: bytes
    path: bytes
    headers: tuple = ()
    body: bytes = b""
    chunks: tuple = ()
    served: object = None
    is_predict: bool = False
    is_valid: bool = False
    has_body: bool = True

    def wire(self):
        """Return the bytes that are sent."""
        lines = [b"%b %b HTTP/1.1" % (self.method, self.path), b"Host: fuzz"]
        lines += [b"%b: %b" % pair for pair in self.headers]
        if self.chunks:
            lines.append(b"Transfer-Encoding: chunked")
        elif self.has_body:
            lines.append(b"Content-Length: %d" % len(self.body))
        head = b"\r\n".join(lines) + HEAD_END
        return head + (self._chunked() if self.chunks else self.body)

    def header(self, name):
        """Return the values of a header, whatever its letters' case."""
        return [v for n, v in self.headers if n.lower() == name]

    def _chunked(self):
        pieces, at = [], 0
        for size in (*self.chunks, len(self.body)):
            if piece := self.body[at : at + size]:
                pieces.append(b"%x\r\n%b\r\n" % (len(piece), piece))
            at += len(piece)
        return b"".join([*pieces, b"0\r\n\r\n"])


@dataclass(frozen=True)
class Case:
    """What is sent over one connection.

    Attributes:
        requests: Whole requests, the last one valid.
        wild: Bytes in their place, of which nobody knows where a request ends.
        cuts: Where the bytes are cut into pieces that are sent one by one.
    """

    requests: tuple = ()
    wild: bytes = b""
    cuts: tuple = ()

    def wire(self):
        return self.wild or b"".join(request.wire() for request in self.requests)

    def pieces(self):
        wire = self.wire()
        ends = [0, *sorted({cut % (len(wire) + 1) for cut in self.cuts}), len(wire)]
        return [wire[a:b] for a, b in pairwise(ends) if b > a]


@dataclass
class Reader:
    """Takes answers out of what came over a connection.

    Attributes:
        methods: Of the requests, as far as they are known: HEAD has no body.
    """

    methods: list = field(default_factory=list)
    answers: list = field(default_factory=list)
    left: bytearray = field(default_factory=bytearray)

    def feed(self, data):
        """Take bytes."""
        self.left += data
        while self._take():
            pass

    def _take(self):
        end = self.left.find(HEAD_END)
        if end < 0:
            return False
        status, headers = parse_head(bytes(self.left[:end]))
        if status == 100:
            del self.left[: end + 4]
            return True
        index = len(self.answers)
        is_head = self.methods[index : index + 1] == [b"HEAD"]
        length = 0 if is_head else int(headers["content-length"])
        if len(self.left) < end + 4 + length:
            return False
        body = bytes(self.left[end + 4 : end + 4 + length])
        del self.left[: end + 4 + length]
        self.answers.append(Answer(status, headers, body))
        return True


def parse_head(head):
    """Return an answer's status and its headers by name in lower case."""
    first, *lines = head.split(b"\r\n")
    if (match := _STATUS.fullmatch(first)) is None:
        raise BrokenAnswerError(f"no status line: {first[:80]!r}")
    status, headers = int(match[1]), {}
    for line in lines:
        if (pair := _FIELD.fullmatch(line)) is None:
            raise BrokenAnswerError(f"no header: {line[:80]!r}")
        name = pair[1].decode().lower()
        if name in headers and name != "allow":
            raise BrokenAnswerError(f"twice: {line[:80]!r}")
        headers[name] = pair[2].decode("latin-1")
    if status != 100 and not headers.get("content-length", "").isdigit():
        raise BrokenAnswerError(f"no Content-Length: {head[:200]!r}")
    return status, headers
