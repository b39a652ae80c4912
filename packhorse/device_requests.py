"""What a device asks of the cloud besides reporting: inside signed envelopes.

- `enroll`: to be known by a key, with a one-time token of an operator, or with a
  voucher of the key that it had before.
- `token`: to read one model's part of the bucket for a while.

Source: docs/protocol.md, 6.1 "Enrolment" to 6.4 "The read token"
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from packhorse.device_key import verify_envelope
from packhorse.errors import MalformedError
from packhorse.names import MODEL
from packhorse.report import REPORT_MAX_BYTES, SIGNATURE_MAX_BYTES, Envelope, seal
from packhorse.strict_json import Fields, decode_instant, decode_json, encode_json

ENROLL, ROTATE, TOKEN = "enroll", "rotate", "token"
"""Purposes of envelopes: none can be used for another."""

_TOKEN = r"[A-Za-z0-9_-]{32,128}"  # noqa: S105 - a pattern, not a secret
_PUBLIC_KEY_MAX = 1_000

Sign = Callable[[bytes], bytes]
"""Returns the DER signature of the bytes that it is given."""


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """What a device asks for, inside an envelope signed with the new key.

    Attributes:
        token: The one-time token, for the first key; else empty.
        voucher: For a later key, the signature that the key before made of it;
            else empty.
    """

    public_key: str
    token: str = ""
    voucher: bytes = b""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A wish to read what concerns one model.

    Attributes:
        at: The device's clock, perhaps moved by what the cloud said before.
    """

    model: str
    at: datetime


def seal_enrolment(public_key: str, token: str, *, device: str, sign: Sign) -> bytes:
    """Ask to be known by a first key, which also signs."""
    payload = encode_json({"token": token, "public_key": public_key})
    return seal(payload, device=device, sign=sign, purpose=ENROLL)


def seal_rotation(public_key: str, *, device: str, sign: Sign, before: Sign) -> bytes:
    """Ask to be known by another key, which also signs; `before` vouches for it."""
    voucher = before(_vouched(device, public_key).signed_bytes(ROTATE))
    payload = encode_json(
        {"public_key": public_key, "voucher": base64.b64encode(voucher).decode()}
    )
    return seal(payload, device=device, sign=sign, purpose=ENROLL)


def seal_token_request(request: TokenRequest, *, device: str, sign: Sign) -> bytes:
    """Ask for a read token."""
    at = request.at.astimezone(UTC).isoformat(timespec="milliseconds")
    payload = encode_json({"model": request.model, "at": at})
    return seal(payload, device=device, sign=sign, purpose=TOKEN)


def decode_enrolment(payload: bytes) -> EnrolmentRequest:
    """Read what an `enroll` envelope asks for.

    Raises:
        MalformedError: It names neither a token nor a voucher, or both.
    """
    fields = _fields(payload, "enrolment request")
    public_key = fields.text("public_key", max_length=_PUBLIC_KEY_MAX)
    token, voucher = "", b""
    if "voucher" in fields:
        voucher = _decode_voucher(
            fields.text("voucher", max_length=2 * SIGNATURE_MAX_BYTES)
        )
    else:
        token = fields.text("token", pattern=_TOKEN)
    fields.done()
    return EnrolmentRequest(public_key, token, voucher)


def check_voucher(device: str, request: EnrolmentRequest, key_before: str) -> None:
    """Accept a new key only if the key before has vouched for it.

    Raises:
        UntrustedError: It has not.
    """
    envelope = _vouched(device, request.public_key, request.voucher)
    verify_envelope(envelope, key_before, purpose=ROTATE)


def decode_token_request(payload: bytes) -> TokenRequest:
    """Read what a `token` envelope asks for.

    Raises:
        MalformedError: It is no such request.
    """
    fields = _fields(payload, "token request")
    model, text = fields.text("model", pattern=MODEL), fields.text("at", max_length=40)
    fields.done()
    return TokenRequest(model, decode_instant(text, "a token request's time"))


def _vouched(device: str, public_key: str, voucher: bytes = b"") -> Envelope:
    return Envelope(device, public_key.encode(), voucher)


def _decode_voucher(text: str) -> bytes:
    try:
        voucher = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("an enrolment's voucher must be base64") from error
    if not voucher:
        raise MalformedError("an enrolment's voucher must be a signature, it is empty")
    return voucher


def _fields(payload: bytes, what: str) -> Fields:
    value = decode_json(payload, what=what, limit_bytes=REPORT_MAX_BYTES)
    return Fields(value, f"the {what}")
