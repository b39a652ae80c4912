"""Decide which key a device may have: the first that comes with its token.

An operator invites a device and hands over a token; the device makes a key,
signs with it, and sends both. The token is kept as its hash only. It admits one
key: the same one as often as it comes, no other, ever. A revocation ends every
token that was given before it.

Source: docs/protocol.md, 6.1 "Enrolment"
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from functions.errors import ConflictError, EnrolmentRefusedError
from functions.release.device_record import (
    EMAIL_MAX,
    RECORD_MAX_BYTES,
    DeviceRecord,
    decode_models,
)
from packhorse.names import DEVICE, RING_MAX
from packhorse.report import REPORT_MAX_BYTES
from packhorse.strict_json import Fields, decode_instant, decode_json, encode_json

ABSENT = 0
"""The generation of an object that is not there: invitations are never replaced."""

INVITATION_VALID = timedelta(days=7)
"""Long enough to ship a gateway, short enough that a lost note is worthless."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an operator allowed: one device, in this ring, until then.

    Attributes:
        models: What the device may read; empty: any model that it asks for.
        invited_at: Compared with a revocation. Invitations of before did not say
            it; they were valid for as long as those of now.
    """

    device: str
    ring: int
    by: str
    expires_at: datetime
    models: tuple[str, ...] = ()
    invited_at: datetime | None = None

    @property
    def given_at(self) -> datetime:
        """Return when the operator gave it."""
        return self.invited_at or self.expires_at - INVITATION_VALID


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


def admit(
    invitation: Invitation | None,
    *,
    device: str,
    now: datetime,
    known: DeviceRecord | None = None,
) -> Invitation:
    """Return the invitation if it lets this device in now.

    Args:
        invitation: What lies under the token that came.
        device: Who came.
        now: By the cloud's clock.
        known: Its record, where it was revoked.

    Raises:
        EnrolmentRefusedError: There is none for the token, it is another
            device's, it is over, or it is older than the device's revocation.
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
    revocation = known.revocation if known is not None else None
    if revocation is not None and invitation.given_at <= revocation.at:
        raise EnrolmentRefusedError(
            f"{device} was revoked after it got this token; ask the operator for a "
            f"new one"
        )
    return invitation


def check_new_key(known: DeviceRecord, public_key: str) -> None:
    """Refuse the key with which a device was revoked: others may have it too.

    Raises:
        EnrolmentRefusedError: It is that key.
    """
    if known.public_key == public_key:
        raise EnrolmentRefusedError(
            f"{known.device} was revoked with this key; it needs a new one: remove "
            f"device.key from its state directory"
        )


def check_same_key(record: DeviceRecord, public_key: str) -> None:
    """Accept a repeated enrolment, refuse another key.

    Raises:
        ConflictError: The device has another key.
    """
    if record.public_key != public_key:
        raise ConflictError(
            f"{record.device} is enrolled with another key; an operator must revoke "
            f"it first, and invite it anew"
        )


def encode_invitation(invitation: Invitation) -> bytes:
    """Write an invitation for the device bucket."""
    document: dict[str, object] = {
        "device": invitation.device,
        "ring": invitation.ring,
        "by": invitation.by,
        "expires_at": invitation.expires_at.isoformat(),
    }
    if invitation.models:
        document["models"] = list(invitation.models)
    if invitation.invited_at is not None:
        document["invited_at"] = invitation.invited_at.isoformat()
    return encode_json(document)


def decode_invitation(body: bytes) -> Invitation:
    """Read an invitation."""
    fields = _fields(body, "invitation")
    return Invitation(
        device=fields.text("device", pattern=DEVICE),
        ring=fields.integer("ring", high=RING_MAX),
        by=fields.text("by", max_length=EMAIL_MAX),
        expires_at=decode_instant(fields.text("expires_at")),
        models=decode_models(fields),
        invited_at=(
            decode_instant(fields.text("invited_at"))
            if "invited_at" in fields
            else None
        ),
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
        at=decode_instant(fields.text("at")),
    )


def _fields(body: bytes, what: str, limit_bytes: int = RECORD_MAX_BYTES) -> Fields:
    value = decode_json(body, what=what, limit_bytes=limit_bytes)
    return Fields(value, f"the {what}")
