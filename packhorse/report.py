"""What a gateway tells the cloud, and the signed envelope that carries it.

Source: docs/protocol.md, 5 "The report" and 6 "The envelope"
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

from packhorse.assignment import ROLLOUT_ID
from packhorse.errors import MalformedError
from packhorse.names import DEVICE, Release, check_device, parse_release
from packhorse.strict_json import Fields, decode_instant, decode_json, encode_json

REPORT_MAX_BYTES = 16_384
"""An envelope has about 600 bytes; reasons and measures may be longer."""
REASON_MAX = 500
MEASURES_MAX = 32
SIGNATURE_MAX_BYTES = 512

FORMAT = 1


class DeviceState(StrEnum):
    """What became of a release on a device.

    Each is a change of the deployment's state, and none comes without its reason
    where there is one. Those that are neither `SERVING` nor in `FAILURES` count
    for nothing in a gate: the device has not answered for the release yet.
    """

    ENROLLED = "enrolled"
    OFFERED = "offered"
    """The device was admitted, and a deployment began."""
    DOWNLOADED = "downloaded"
    VERIFIED = "verified"
    INSTALLED = "installed"
    TRIED = "tried"
    SERVING = "serving"
    WAITING = "waiting"
    """It goes on by itself: a maintenance window, a command, the cloud."""
    HELD = "held"
    """It goes on when a person at the gateway lifts the hold."""
    DAMAGED = "damaged"
    """What was pulled or installed is gone or changed; it is pulled again."""
    SUPERSEDED = "superseded"
    """The deployment ended unfinished: the rollout asks for something else."""
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


FAILURES = frozenset({DeviceState.REFUSED, DeviceState.ROLLED_BACK, DeviceState.FAILED})
"""States that count against a release."""


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that happened on a device.

    Attributes:
        sequence: Grows with every report of the device; never used twice.
        at: The device's clock, UTC; it may be wrong.
        release: What the report is about; None for an enrolment.
        reason: Why, in a sentence; empty where nothing went wrong.
        measures: Numbers by name, the unit in the name: `took_s`, `shadow_agreement`.
    """

    device: str
    sequence: int
    at: datetime
    release: Release | None
    rollout_id: str
    state: DeviceState
    reason: str = ""
    measures: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Refuse a report that no device should send."""
        check_device(self.device)
        if self.at.tzinfo is None:
            raise MalformedError("a report's time must be UTC")
        if len(self.reason) > REASON_MAX or len(self.measures) > MEASURES_MAX:
            raise MalformedError(
                f"a report holds {REASON_MAX} characters of reason "
                f"and {MEASURES_MAX} measures at most"
            )
        if not all(math.isfinite(value) for value in self.measures.values()):
            raise MalformedError("a report's measures are finite numbers")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Bytes that a device has signed.

    Attributes:
        signature: ECDSA over P-256 and SHA-256, in DER.
    """

    device: str
    payload: bytes
    signature: bytes

    def signed_bytes(self, purpose: str) -> bytes:
        """Return the bytes that the signature covers."""
        return _signed_bytes(purpose, self.device, self.payload)


def encode_report(report: Report) -> bytes:
    """Write the report as canonical JSON."""
    return encode_json(
        {
            "format": FORMAT,
            "device": report.device,
            "sequence": report.sequence,
            "at": report.at.astimezone(UTC).isoformat(timespec="milliseconds"),
            "release": str(report.release) if report.release else None,
            "rollout_id": report.rollout_id,
            "state": report.state.value,
            "reason": report.reason,
            "measures": dict(report.measures),
        }
    )


def decode_report(payload: bytes) -> Report:
    """Read a report.

    Raises:
        LimitExceededError: It is longer than `REPORT_MAX_BYTES`.
        MalformedError: It is none.
    """
    value = decode_json(payload, what="report", limit_bytes=REPORT_MAX_BYTES)
    fields = Fields(value, "the report")
    fields.integer("format", low=FORMAT, high=FORMAT)
    release = fields.optional("release")
    named = Fields(measures := fields.mapping("measures"), "the measures")
    report = Report(
        device=fields.text("device", pattern=DEVICE),
        sequence=fields.integer("sequence"),
        at=decode_instant(fields.text("at", max_length=40), "a report's time"),
        release=parse_release(str(release)) if release is not None else None,
        rollout_id=fields.text("rollout_id", pattern=ROLLOUT_ID),
        state=_decode_state(fields.text("state")),
        reason=fields.text("reason", max_length=REASON_MAX),
        measures={name: named.number(name, low=-math.inf) for name in measures},
    )
    fields.done()
    return report


def seal(
    payload: bytes,
    *,
    device: str,
    sign: Callable[[bytes], bytes],
    purpose: str = "report",
) -> bytes:
    """Put `payload` into an envelope that the device signs.

    Args:
        payload: What is signed and carried, unchanged.
        device: Whose signature it is.
        sign: Returns the DER signature of the bytes that it is given.
        purpose: What the envelope is for, so that none can be used for another.
    """
    signature = sign(_signed_bytes(purpose, device, payload))
    return encode_json(
        {
            "device": device,
            "payload": base64.b64encode(payload).decode(),
            "signature": base64.b64encode(signature).decode(),
        }
    )


def open_envelope(body: bytes) -> Envelope:
    """Read an envelope; its signature is not checked here.

    Raises:
        LimitExceededError: It is longer than `REPORT_MAX_BYTES`.
        MalformedError: It is none.
    """
    value = decode_json(body, what="report envelope", limit_bytes=REPORT_MAX_BYTES)
    fields = Fields(value, "the report envelope")
    envelope = Envelope(
        device=fields.text("device", pattern=DEVICE),
        payload=_decode_base64(fields.text("payload", max_length=REPORT_MAX_BYTES)),
        signature=_decode_base64(
            fields.text("signature", max_length=2 * SIGNATURE_MAX_BYTES)
        ),
    )
    fields.done()
    return envelope


def _signed_bytes(purpose: str, device: str, payload: bytes) -> bytes:
    return f"packhorse:{purpose}:{device}:".encode() + payload


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("the envelope's fields must be base64") from error


def _decode_state(text: str) -> DeviceState:
    try:
        return DeviceState(text)
    except ValueError as error:
        raise MalformedError(
            f"a report's state must be one of {', '.join(DeviceState)}, "
            f"not {text[:40]!r}"
        ) from error
