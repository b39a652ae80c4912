"""An answer with its headers as they go on the wire, and what tells of an error."""

import json
import math

from starlette.types import Receive, Send

from functions import replies
from functions.errors import MethodError
from functions.prediction.headers import Raw
from functions.prediction.sending import Sending, transport_of

JSON_TYPE: Raw = (b"content-type", b"application/json")
OUR_FAULT = "this is our fault; it is logged"
_OUR_FAULT = 500
_UNAVAILABLE = 503
RETRY_AFTER_S = 1


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

    async def send(self, receive: Receive, send: Send) -> bool:
        """Send it; a long body only as fast as the caller takes it.

        Returns:
            Whether the caller took it, as far as we know.
        """
        sending = Sending(send, transport_of(receive))
        await sending.answer(self.status, self.headers, self.body)
        return sending.is_taken


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
