"""Give a device a token with which it reads its model's part of the bucket."""

from datetime import UTC, datetime

import flask
import functions_framework

from functions import replies, wiring
from functions.release.read_scope import check_request
from packhorse.device_requests import TOKEN, decode_token_request
from packhorse.report import REPORT_MAX_BYTES, open_envelope


@functions_framework.http
@replies.as_json
def device_token(request: flask.Request) -> replies.Reply:
    """Serve `POST /`: a signed wish becomes a short read token."""
    body = replies.read_body(request, limit_bytes=REPORT_MAX_BYTES)
    envelope = open_envelope(body)
    replies.note(device=envelope.device)
    # Not from memory: a revoked device gets no token from this moment on.
    record = wiring.device_register().read(envelope.device)
    record.check_signed(envelope, purpose=TOKEN)
    wanted = decode_token_request(envelope.payload)
    replies.note(model=wanted.model)
    check_request(wanted, record, now=datetime.now(UTC))
    token = wiring.read_tokens().issue(wanted.model)
    answer = {
        "access_token": token.access_token,
        "expires_in": int(token.expires_in_s),
        "is_rotation_wanted": record.is_rotation_wanted,
    }
    return replies.ok(answer, Cache_Control="no-store")
