"""An answer with its headers as they go on the wire, and what tells of an error."""

import json
import math

from starlette.types import Send

from functions import replies
from functions.errors import MethodError
from functions.prediction.headers import Raw

JSON_TYPE: Raw = (b"content-type", b"application/json")
OUR_FAULT = "this is our fault; it is logged"
_OUR_FAULT = 500
_UNAVAILABLE = 503
RETRY_AFTER_S = 1
SLICE_BYTES = 1024**2
"""What is handed over at once is held by the server until the caller has taken it,
out of our sight."""


class Reply:
    """One answer.

    Attributes:
        headers: All but the length.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, headers: list[Raw]) -> None:
        """Make an answer."""
        self.status = status
        self.body = body
        self.headers = headers

    async def send(self, send: Send) -> None:
        """Send it; a long body only as fast as the caller takes it."""
        body = self.body
        length = (b"content-length", str(len(body)).encode())
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [*self.headers, length],
            }
        )
        at = 0
        while len(body) - at > SLICE_BYTES:
            part = body[at : at + SLICE_BYTES]
            await send({"type": "http.response.body", "body": part, "more_body": True})
            at += SLICE_BYTES
        await send({"type": "http.response.body", "body": body[at:]})


def json_reply(status: int, document: object) -> Reply:
    """Answer with a JSON document."""
    return Reply(status, json.dumps(document).encode() + b"\n", [JSON_TYPE])


def refusal(status: int, sentence: str) -> Reply:
    """Answer with a sentence in place of a prediction."""
    return json_reply(status, {"error": sentence})


def refusal_of(error: Exception) -> Reply:
    """Answer an error of ours; what is not for callers is our fault."""
    status = replies.status_of(error)
    if status is None:
        return refusal(_OUR_FAULT, OUR_FAULT)
    reply = refusal(status, str(error))
    if isinstance(error, MethodError):
        reply.headers.append((b"allow", ", ".join(error.allowed).encode()))
    if status == _UNAVAILABLE:
        wait_s = getattr(error, "retry_after_s", RETRY_AFTER_S)
        reply.headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait_s))))
    return reply
