"""Decide which key a device may have: the first that comes with its token.

An operator invites a device and hands over a token; the device makes a key,
signs with it, and sends both. The token is kept as its hash only. It admits one
key: the same one as often as it comes, no other, ever.

Source: docs/protocol.md, 6.1 "Enrolment"
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from functions.errors import ConflictError, EnrolmentRefusedError
from packhorse.errors import MalformedError
from packhorse.names import DEVICE, RING_MAX
from packhorse.report import REPORT_MAX_BYTES
from packhorse.strict_json import Fields, decode_json, encode_json

RECORD_MAX_BYTES = 4_096
"""Every record here has under 600 bytes."""

ABSENT = 0
"""The generation of an object that is not there: records are never replaced."""

INVITATION_VALID = timedelta(days=7)
"""Long enough to ship a gateway, short enough that a lost note is worthless."""

_TOKEN = r"[A-Za-z0-9_-]{32,128}"  # noqa: S105 - a pattern, not a secret
_PUBLIC_KEY_MAX = 1_000
_EMAIL_MAX = 320


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an operator allowed: one device, in this ring, until then."""

    device: str
    ring: int
    by: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device's registered key."""

    device: str
    ring: int
    public_key: str
    enrolled_at: datetime


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """What a device asks for, inside an envelope signed with the new key."""

    token: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The event that tells the ledger of a device."""

    device: str
    ring: int
    at: datetime


def invitation_name(token: str) -> str:
    """Return the object that holds a token's invitation."""
    return f"enrolment/{hashlib.sha256(token.encode()).hexdigest()}.json"


def spent_name(token: str) -> str:
    """Return the object that says which key a token has admitted."""
    return f"enrolment/{hashlib.sha256(token.encode()).hexdigest()}.spent.json"


def device_name(device: str) -> str:
    """Return the object that holds a device's registered key."""
    return f"devices/{device}.json"


def admit(invitation: Invitation | None, *, device: str, now: datetime) -> Invitation:
    """Return the invitation if it lets this device in now.

    Raises:
        EnrolmentRefusedError: There is none for the token, it is another
            device's, or it is over.
    """
    if invitation is None or not hmac.compare_digest(invitation.device, device):
        raise EnrolmentRefusedError(
            f"the token does not admit {device}; ask the operator for a new one"
        )
    if now >= invitation.expires_at:
        raise EnrolmentRefusedError(
            f"the token for {device} ended at {invitation.expires_at.isoformat()}; "
            f"ask the operator for a new one"
        )
    return invitation


def check_same_key(record: DeviceRecord, public_key: str) -> None:
    """Accept a repeated enrolment, refuse another key.

    Raises:
        ConflictError: The device has another key.
    """
    if record.public_key != public_key:
        raise ConflictError(
            f"{record.device} is enrolled with another key; an operator must remove "
            f"that one first"
        )


def decode_request(payload: bytes) -> EnrolmentRequest:
    """Read what a device asks for."""
    fields = _fields(payload, "enrolment request")
    request = EnrolmentRequest(
        token=fields.text("token", pattern=_TOKEN),
        public_key=fields.text("public_key", max_length=_PUBLIC_KEY_MAX),
    )
    fields.done()
    return request


def encode_invitation(invitation: Invitation) -> bytes:
    """Write an invitation for the device bucket."""
    return encode_json(
        {
            "device": invitation.device,
            "ring": invitation.ring,
            "by": invitation.by,
            "expires_at": invitation.expires_at.isoformat(),
        }
    )


def decode_invitation(body: bytes) -> Invitation:
    """Read an invitation."""
    fields = _fields(body, "invitation")
    return Invitation(
        device=fields.text("device", pattern=DEVICE),
        ring=fields.integer("ring", high=RING_MAX),
        by=fields.text("by", max_length=_EMAIL_MAX),
        expires_at=_instant(fields.text("expires_at")),
    )


def encode_device(record: DeviceRecord) -> bytes:
    """Write a device's record for the device bucket."""
    return encode_json(
        {
            "device": record.device,
            "ring": record.ring,
            "public_key": record.public_key,
            "enrolled_at": record.enrolled_at.isoformat(),
        }
    )


def decode_device(body: bytes) -> DeviceRecord:
    """Read a device's record."""
    fields = _fields(body, "device record")
    return DeviceRecord(
        device=fields.text("device", pattern=DEVICE),
        ring=fields.integer("ring", high=RING_MAX),
        public_key=fields.text("public_key", max_length=_PUBLIC_KEY_MAX),
        enrolled_at=_instant(fields.text("enrolled_at")),
    )


def encode_enrolled(event: Enrolled) -> bytes:
    """Write the event for the topic `reports`; no envelope has this field."""
    return encode_json(
        {
            "enrolled": {
                "device": event.device,
                "ring": event.ring,
                "at": event.at.isoformat(),
            }
        }
    )


def decode_enrolled(body: bytes) -> Enrolled | None:
    """Read the event; None when the message is something else."""
    outer = _fields(body, "report message", REPORT_MAX_BYTES)
    if "enrolled" not in outer:
        return None
    fields = Fields(outer.take("enrolled"), "an enrolment")
    return Enrolled(
        device=fields.text("device", pattern=DEVICE),
        ring=fields.integer("ring", high=RING_MAX),
        at=_instant(fields.text("at")),
    )


def _fields(body: bytes, what: str, limit_bytes: int = RECORD_MAX_BYTES) -> Fields:
    value = decode_json(body, what=what, limit_bytes=limit_bytes)
    return Fields(value, f"the {what}")


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedError(f"a time must be ISO 8601, not {text[:40]!r}") from error
    if instant.tzinfo is None:
        raise MalformedError("a time must name its offset from UTC")
    return instant.astimezone(UTC)
