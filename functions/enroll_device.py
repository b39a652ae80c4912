"""Register a device's key, for the one-time token that an operator gave it."""

from datetime import UTC, datetime

import flask
import functions_framework

from functions import replies, topics, wiring
from functions.adapters.storage import ObjectStore
from functions.errors import EnrolmentRefusedError
from functions.release import enrolment
from functions.release.enrolment import DeviceRecord, EnrolmentRequest, Invitation
from packhorse.device_key import check_public_pem, verify_envelope
from packhorse.report import REPORT_MAX_BYTES, Envelope, open_envelope
from packhorse.strict_json import encode_json

PURPOSE = "enroll"


@functions_framework.http
@replies.as_json
def enroll_device(request: flask.Request) -> replies.Reply:
    """Serve `POST /`: a new key, in an envelope that it signed."""
    body = replies.read_body(request, limit_bytes=REPORT_MAX_BYTES)
    envelope = open_envelope(body)
    replies.note(device=envelope.device)
    wanted = enrolment.decode_request(envelope.payload)
    # Whoever asks holds the private half, so nobody enrols another's key.
    verify_envelope(envelope, check_public_pem(wanted.public_key), purpose=PURPOSE)
    record, is_new = _enrolled(envelope, wanted)
    event = enrolment.Enrolled(record.device, record.ring, record.enrolled_at)
    wiring.publisher().publish(topics.REPORTS, enrolment.encode_enrolled(event))
    answer = {
        "device": record.device,
        "ring": record.ring,
        "enrolled_at": record.enrolled_at.isoformat(),
    }
    return replies.Reply(201 if is_new else 200, answer)


def _enrolled(
    envelope: Envelope, wanted: EnrolmentRequest
) -> tuple[DeviceRecord, bool]:
    store = wiring.device_store()
    known = _known(store, envelope.device)
    if known is not None:
        enrolment.check_same_key(known, wanted.public_key)
        return known, False
    now = datetime.now(UTC)
    invitation = enrolment.admit(
        _invitation(store, wanted.token), device=envelope.device, now=now
    )
    _spend(store, wanted)
    record = DeviceRecord(envelope.device, invitation.ring, wanted.public_key, now)
    name = enrolment.device_name(envelope.device)
    body = enrolment.encode_device(record)
    if store.write_if_generation(name, body, enrolment.ABSENT):
        return record, True
    # Another request was faster: its key counts.
    winner = _known(store, envelope.device) or record
    enrolment.check_same_key(winner, wanted.public_key)
    return winner, False


def _known(store: ObjectStore, device: str) -> DeviceRecord | None:
    name = enrolment.device_name(device)
    body = store.read(name, enrolment.RECORD_MAX_BYTES)
    return None if body is None else enrolment.decode_device(body)


def _invitation(store: ObjectStore, token: str) -> Invitation | None:
    name = enrolment.invitation_name(token)
    body = store.read(name, enrolment.RECORD_MAX_BYTES)
    return None if body is None else enrolment.decode_invitation(body)


def _spend(store: ObjectStore, wanted: EnrolmentRequest) -> None:
    """Bind the token to this key, so that it never admits another one."""
    name = enrolment.spent_name(wanted.token)
    body = encode_json({"public_key": wanted.public_key})
    if store.write_if_generation(name, body, enrolment.ABSENT):
        return
    if store.read(name, enrolment.RECORD_MAX_BYTES) != body:
        raise EnrolmentRefusedError(
            "the token was used with another key; ask the operator for a new one"
        )
