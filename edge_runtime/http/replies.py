"""What a client is answered, and which error becomes which status.

A `Reply` knows nothing of sockets: the hot path and Flask both send it.
"""

from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import orjson

from edge_runtime.errors import ModelError, OverrunError, UnknownCodingError
from edge_runtime.log import log
from packhorse.errors import LimitExceededError, MalformedError

JSON = "application/json"

Body = bytes | bytearray | memoryview
"""A request's body, as it was received."""

Headers = tuple[tuple[str, str], ...]


class Reply(NamedTuple):
    """One answer; a tuple, since one is made for every request."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Headers = ()


def json_reply(status: int, document: object, headers: Headers = ()) -> Reply:
    """Answer with a JSON document."""
    return Reply(status, orjson.dumps(document), JSON, headers)


def error_reply(status: int, sentence: str, headers: Headers = ()) -> Reply:
    """Answer with a sentence that says what was expected and what came."""
    return json_reply(status, {"error": sentence}, headers)


def refusal(error: MalformedError | ModelError, headers: Headers = ()) -> Reply:
    """Answer what a request ran into; the first match wins."""
    if isinstance(error, LimitExceededError):
        return error_reply(413, str(error), headers)
    if isinstance(error, UnknownCodingError):
        taken = ("Accept-Encoding", "gzip, deflate")
        return error_reply(415, str(error), (*headers, taken))
    if isinstance(error, MalformedError):
        return error_reply(400, str(error), headers)
    if isinstance(error, OverrunError):
        return error_reply(504, str(error), headers)
    return error_reply(500, str(error), headers)


def unavailable(sentence: str, headers: Headers = (), *, retry_s: int = 1) -> Reply:
    """Answer what cannot be served now, and say when to ask again."""
    return error_reply(503, sentence, (*headers, ("Retry-After", str(retry_s))))


def mistake(error: BaseException, headers: Headers = ()) -> Reply:
    """Answer for what should never have been raised."""
    log("request_failed", kind=type(error).__name__, reason=str(error)[:200])
    sentence = "this server made a mistake; its log says which"
    return error_reply(500, sentence, headers)


def render_head(
    reply: Reply, date: bytes, *, closes: bool, traceparent: str = ""
) -> bytes:
    """Write the answer's head as HTTP/1.1."""
    return b"%b%b%b%bContent-Length: %d\r\n\r\n" % (
        _first_lines(reply.status, reply.content_type, reply.headers),
        date,
        b"Connection: close\r\n" if closes else b"",
        b"traceparent: %b\r\n" % traceparent.encode() if traceparent else b"",
        len(reply.body),
    )


@lru_cache(maxsize=256)
def _first_lines(status: int, content_type: str, headers: Headers) -> bytes:
    """Return the lines that are the same for many answers."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines.append(f"Content-Type: {content_type}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")
