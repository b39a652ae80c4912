"""What the cloud keeps of a device: its key, its ring, and whether it may still ask.

A device that is revoked keeps its record, so that neither its key nor an
enrolment token from before the revocation lets it in again.

Source: docs/protocol.md, 6.2 "The device's record"
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from functions.errors import DeviceRefusedError
from packhorse.device_key import verify_envelope
from packhorse.names import DEVICE, MODEL, RING_MAX
from packhorse.report import Envelope
from packhorse.strict_json import Fields, decode_instant, decode_json, encode_json

RECORD_MAX_BYTES = 8_192
"""A record has about 600 bytes; a reason and many models may make it longer."""

MODELS_MAX = 32
PUBLIC_KEY_MAX = 1_000
EMAIL_MAX = 320
REASON_MAX = 500


@dataclass(frozen=True, slots=True)
class Revocation:
    """Who sent a device away for good, when and why."""

    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device's registered key, and what it may do with it.

    Attributes:
        public_key: PEM; empty where the device was revoked before it enrolled.
        enrolled_at: When its first key came; a new key does not change it.
        key_since: When this key came.
        models: What it may read from the bucket; empty: any model it asks for.
        is_rotation_wanted: Whether an operator asked it for a new key.
        revocation: None while it may come in.
    """

    device: str
    ring: int
    public_key: str
    enrolled_at: datetime
    key_since: datetime | None = None
    models: tuple[str, ...] = ()
    is_rotation_wanted: bool = False
    revocation: Revocation | None = None

    def with_key(self, public_key: str, at: datetime) -> Self:
        """Return the record with another key, which nobody wants changed any more."""
        return replace(
            self, public_key=public_key, key_since=at, is_rotation_wanted=False
        )

    def check_may_come_in(self) -> None:
        """Refuse a device that was revoked.

        Raises:
            DeviceRefusedError: It was; the answer says so to programs too.
        """
        if self.revocation is not None:
            raise DeviceRefusedError(
                f"{self.device} was revoked at {self.revocation.at.isoformat()}; an "
                f"operator must invite it anew",
                is_revoked=True,
            )

    def check_signed(self, envelope: Envelope, *, purpose: str) -> None:
        """Accept only what this device signed, while it may come in.

        Raises:
            DeviceRefusedError: It was revoked.
            UntrustedError: It did not sign this, or not for this purpose.
        """
        # Before the signature: who has lost its key by that knows no other answer.
        self.check_may_come_in()
        verify_envelope(envelope, self.public_key, purpose=purpose)


def device_name(device: str) -> str:
    """Return the object that holds a device's record."""
    return f"devices/{device}.json"


def encode_device(record: DeviceRecord) -> bytes:
    """Write a device's record for the device bucket."""
    document: dict[str, object] = {
        "device": record.device,
        "ring": record.ring,
        "public_key": record.public_key,
        "enrolled_at": record.enrolled_at.isoformat(),
    }
    if record.key_since is not None:
        document["key_since"] = record.key_since.isoformat()
    if record.models:
        document["models"] = list(record.models)
    if record.is_rotation_wanted:
        document["is_rotation_wanted"] = True
    if record.revocation is not None:
        document["revocation"] = {
            "at": record.revocation.at.isoformat(),
            "by": record.revocation.by,
            "reason": record.revocation.reason,
        }
    return encode_json(document)


def decode_device(body: bytes) -> DeviceRecord:
    """Read a device's record; those of before had its first four fields alone."""
    value = decode_json(body, what="device record", limit_bytes=RECORD_MAX_BYTES)
    fields = Fields(value, "the device record")
    return DeviceRecord(
        device=fields.text("device", pattern=DEVICE),
        ring=fields.integer("ring", high=RING_MAX),
        public_key=fields.text("public_key", max_length=PUBLIC_KEY_MAX),
        enrolled_at=decode_instant(fields.text("enrolled_at")),
        key_since=(
            decode_instant(fields.text("key_since")) if "key_since" in fields else None
        ),
        models=decode_models(fields),
        is_rotation_wanted="is_rotation_wanted" in fields
        and fields.boolean("is_rotation_wanted"),
        revocation=_decode_revocation(fields),
    )


def decode_models(fields: Fields) -> tuple[str, ...]:
    """Read the names of models, where there are some."""
    if "models" not in fields:
        return ()
    count = len(listed := fields.sequence("models", max_items=MODELS_MAX))
    named = Fields({str(place): listed[place] for place in range(count)}, "the models")
    return tuple(named.text(str(place), pattern=MODEL) for place in range(count))


def _decode_revocation(fields: Fields) -> Revocation | None:
    found = fields.optional("revocation")
    if found is None:
        return None
    named = Fields(found, "the revocation")
    return Revocation(
        at=decode_instant(named.text("at")),
        by=named.text("by", max_length=EMAIL_MAX),
        reason=named.text("reason", max_length=REASON_MAX),
    )
