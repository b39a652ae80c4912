"""Write reports, and news of enrolled devices, into the ledger.

What arrives here was checked by `receive_report` or written by `enroll_device`:
no other account may publish to the topic `reports`.
"""

import hashlib
from datetime import UTC, datetime

import functions_framework

from functions import outbox, replies, wiring
from functions.events import Message
from functions.release.enrolment import Enrolled, decode_enrolled
from packhorse.report import decode_report, open_envelope


@functions_framework.cloud_event
@replies.as_event
def record_reports(message: Message) -> None:
    """Take one message of the topic `reports`."""
    event = decode_enrolled(message.data)
    is_new = _record_report(message) if event is None else _record_device(event)
    sent = outbox.flush(wiring.ledger(), wiring.publisher())
    replies.note(is_new=is_new, events=sent)


def _record_device(event: Enrolled) -> bool:
    replies.note(device=event.device, ring=event.ring)
    return wiring.ledger().record_device(event.device, ring=event.ring, at=event.at)


def _record_report(message: Message) -> bool:
    envelope = open_envelope(message.data)
    report = decode_report(envelope.payload)
    replies.note(
        device=report.device, sequence=report.sequence, state=report.state.value
    )
    digest = hashlib.sha256(envelope.payload).hexdigest()
    return wiring.ledger().record_report(report, digest=digest, at=datetime.now(UTC))
