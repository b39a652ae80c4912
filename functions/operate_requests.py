"""Read what an operator's request says; what is no request of ours is refused."""

import flask

from functions import replies
from packhorse.strict_json import Fields, decode_json

BODY_MAX_BYTES = 16_384
REASON_MAX = 500


def read_fields(request: flask.Request) -> Fields:
    """Return the fields of a request's body; an empty body has none."""
    body = replies.read_body(request, limit_bytes=BODY_MAX_BYTES)
    value = decode_json(body or b"{}", what="request", limit_bytes=BODY_MAX_BYTES)
    return Fields(value, "the request")


def take_reason(fields: Fields, default: str) -> str:
    """Return why, as the operator said it; nothing else may be left."""
    reason = default
    if "reason" in fields:
        reason = fields.text("reason", max_length=REASON_MAX) or default
    fields.done()
    return reason
