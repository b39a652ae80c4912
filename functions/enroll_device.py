"""Register a device's key: for an operator's one-time token, or a later one.

A later key comes with a voucher of the key before it, so it needs nobody.
"""

from datetime import UTC, datetime

import flask
import functions_framework

from functions import replies, topics, wiring
from functions.adapters.device_register import Registered
from functions.adapters.storage import ObjectStore
from functions.errors import ConflictError, EnrolmentRefusedError
from functions.release import enrolment
from functions.release.device_record import RECORD_MAX_BYTES, DeviceRecord
from functions.release.enrolment import Invitation
from packhorse.device_key import check_public_pem, verify_envelope
from packhorse.device_requests import (
    ENROLL,
    EnrolmentRequest,
    check_voucher,
    decode_enrolment,
)
from packhorse.errors import UntrustedError
from packhorse.report import REPORT_MAX_BYTES, open_envelope
from packhorse.strict_json import encode_json


@functions_framework.http
@replies.as_json
def enroll_device(request: flask.Request) -> replies.Reply:
    """Serve `POST /`: a new key, in an envelope that it signed."""
    body = replies.read_body(request, limit_bytes=REPORT_MAX_BYTES)
    envelope = open_envelope(body)
    replies.note(device=envelope.device)
    wanted = decode_enrolment(envelope.payload)
    # Whoever asks holds the private half, so nobody enrols another's key.
    verify_envelope(envelope, check_public_pem(wanted.public_key), purpose=ENROLL)
    take = _rotated if wanted.voucher else _enrolled
    record, is_new = take(envelope.device, wanted)
    event = enrolment.Enrolled(record.device, record.ring, record.enrolled_at)
    wiring.publisher().publish(topics.REPORTS, enrolment.encode_enrolled(event))
    answer = {
        "device": record.device,
        "ring": record.ring,
        "enrolled_at": record.enrolled_at.isoformat(),
    }
    return replies.Reply(201 if is_new else 200, answer)


def _rotated(device: str, wanted: EnrolmentRequest) -> tuple[DeviceRecord, bool]:
    """Put a key in the place of the one that vouches for it."""
    register = wiring.device_register()
    known = register.find(device)
    if known is None:
        raise UntrustedError(f"no device {device} is enrolled")
    known.record.check_may_come_in()
    if known.record.public_key == wanted.public_key:
        return known.record, False
    check_voucher(device, wanted, known.record.public_key)
    record = known.record.with_key(wanted.public_key, datetime.now(UTC))
    register.save(record, instead_of=known)
    replies.note(is_rotated=True)
    return record, True


def _enrolled(device: str, wanted: EnrolmentRequest) -> tuple[DeviceRecord, bool]:
    """Give a device its first key, or the first since it was revoked."""
    register = wiring.device_register()
    known = register.find(device)
    if known is not None and known.record.revocation is None:
        enrolment.check_same_key(known.record, wanted.public_key)
        return known.record, False
    record = _admitted(device, wanted, known)
    try:
        register.save(record, instead_of=known)
    except ConflictError:
        # Another request was faster: its key counts.
        winner = register.read(device)
        winner.check_may_come_in()
        enrolment.check_same_key(winner, wanted.public_key)
        return winner, False
    return record, True


def _admitted(
    device: str, wanted: EnrolmentRequest, known: Registered | None
) -> DeviceRecord:
    store, now = wiring.device_store(), datetime.now(UTC)
    before = known.record if known is not None else None
    invitation = enrolment.admit(
        _invitation(store, wanted.token), device=device, now=now, known=before
    )
    if before is not None:
        enrolment.check_new_key(before, wanted.public_key)
    _spend(store, wanted)
    return DeviceRecord(
        device,
        invitation.ring,
        wanted.public_key,
        enrolled_at=now,
        key_since=now,
        models=invitation.models,
    )


def _invitation(store: ObjectStore, token: str) -> Invitation | None:
    name = enrolment.invitation_name(token)
    body = store.read(name, RECORD_MAX_BYTES)
    return None if body is None else enrolment.decode_invitation(body)


def _spend(store: ObjectStore, wanted: EnrolmentRequest) -> None:
    """Bind the token to this key, so that it never admits another one."""
    name = enrolment.spent_name(wanted.token)
    body = encode_json({"public_key": wanted.public_key})
    if store.write_if_generation(name, body, enrolment.ABSENT):
        return
    if store.read(name, RECORD_MAX_BYTES) != body:
        raise EnrolmentRefusedError(
            "the token was used with another key; ask the operator for a new one"
        )
