"""Answer operators about devices: invite, list, show, revoke, ask for a new key.

A device's record in the bucket decides what it may do; the ledger says who counts
in a gate. The record is changed first, so a crash between leaves a device that can
do too little, and the operator's next try does the rest.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import flask

from functions import outbox, replies, wiring
from functions.errors import ConflictError, NotFoundError
from functions.operate_requests import read_fields, take_reason
from functions.release import enrolment
from functions.release.device_record import (
    DeviceRecord,
    Revocation,
    decode_models,
)
from packhorse.names import check_device, check_ring

if TYPE_CHECKING:
    from functions.adapters.ledger.device_statuses import DeviceStatus

LISTED_MAX = 10_000
"""Devices in one answer: about 2.5 MB."""

_TOKEN_BYTES = 32
_TRIES = 4
"""An enrolment or a rotation may come in between; not four in a row."""


def list_devices(request: flask.Request, name: str, caller: str) -> replies.Reply:
    """Answer with every device and where it stands."""
    del request, name, caller
    found = wiring.ledger().device_statuses(limit=LISTED_MAX)
    return replies.ok({"devices": [status.to_json() for status in found]})


def show(request: flask.Request, name: str, caller: str) -> replies.Reply:
    """Answer with all that is known of a device."""
    del request, caller
    device = check_device(name)
    found = wiring.device_register().find(device)
    return replies.ok(_shown(device, found.record if found else None))


def invite(request: flask.Request, name: str, caller: str) -> replies.Reply:
    """Let a device enrol once; answer with the token."""
    del name
    fields = read_fields(request)
    device = check_device(fields.text("device"))
    ring = check_ring(fields.integer("ring"))
    models = decode_models(fields)
    fields.done()
    _check_may_be_invited(device)
    now = datetime.now(UTC)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    expires_at = now + enrolment.INVITATION_VALID
    invitation = enrolment.Invitation(device, ring, caller, expires_at, models, now)
    wiring.device_store().write_if_generation(
        enrolment.invitation_name(token),
        enrolment.encode_invitation(invitation),
        enrolment.ABSENT,
    )
    wiring.ledger().invite_device(device, ring=ring, by=caller, at=now)
    replies.note(device=device, ring=ring)
    answer = {"device": device, "ring": ring, "token": token}
    return replies.Reply(201, {**answer, "expires_at": expires_at.isoformat()})


def revoke(request: flask.Request, name: str, caller: str) -> replies.Reply:
    """Send a device away: its key and its tokens let it in no more."""
    device = check_device(name)
    reason = take_reason(read_fields(request), f"revoked by {caller}")
    revocation = Revocation(datetime.now(UTC), caller, reason)

    def revoked(found: DeviceRecord | None) -> DeviceRecord:
        record = found or _record_of_nobody(device, revocation.at)
        return replace(
            record,
            is_rotation_wanted=False,
            revocation=record.revocation or revocation,
        )

    record = _change(device, revoked)
    wiring.ledger().revoke_device(
        device, ring=record.ring, revocation=record.revocation or revocation
    )
    outbox.flush(wiring.ledger(), wiring.publisher())
    replies.note(device=device, ring=record.ring)
    return replies.ok(_shown(device, record))


def ask_for_rotation(request: flask.Request, name: str, caller: str) -> replies.Reply:
    """Ask a device for a new key; it hears of it in the next answer it gets."""
    del caller
    read_fields(request).done()
    device = check_device(name)

    def asked(found: DeviceRecord | None) -> DeviceRecord:
        if found is None:
            raise NotFoundError(f"no device {device} is enrolled")
        if found.revocation is not None:
            raise ConflictError(f"{device} was revoked; it has no key to replace")
        return replace(found, is_rotation_wanted=True)

    record = _change(device, asked)
    replies.note(device=device)
    return replies.ok(_shown(device, record))


def _change(
    device: str, change: Callable[[DeviceRecord | None], DeviceRecord]
) -> DeviceRecord:
    """Change a device's record, whoever else does meanwhile."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(ConflictError):
            return _change_once(device, change)
    return _change_once(device, change)


def _change_once(
    device: str, change: Callable[[DeviceRecord | None], DeviceRecord]
) -> DeviceRecord:
    """Change a device's record as it is now.

    Raises:
        ConflictError: It changed meanwhile, or `change` refuses.
    """
    register = wiring.device_register()
    found = register.find(device)
    record = change(found.record if found else None)
    if found is None or found.record != record:
        register.save(record, instead_of=found)
    return record


def _record_of_nobody(device: str, at: datetime) -> DeviceRecord:
    """Return the record of a device that was invited and never came.

    Raises:
        NotFoundError: It was not even invited.
    """
    ring = _status_of(device).ring
    return DeviceRecord(device, ring, public_key="", enrolled_at=at)


def _status_of(device: str) -> "DeviceStatus":
    """Return where a device stands.

    Raises:
        NotFoundError: It was not even invited.
    """
    known = wiring.ledger().device_statuses(limit=1, device=device)
    if not known:
        raise NotFoundError(f"no device {device} was ever invited")
    return known[0]


def _check_may_be_invited(device: str) -> None:
    found = wiring.device_register().find(device)
    if found is not None and found.record.revocation is None:
        raise ConflictError(
            f"{device} is enrolled already; `packhorse device revoke {device}` first "
            f"if it has lost its key"
        )


def _shown(device: str, record: DeviceRecord | None) -> dict[str, object]:
    """Return what people see of a device; of its key, the fingerprint."""
    shown = _status_of(device).to_json()
    if record is not None:
        shown |= _record_shown(record)
    history = wiring.ledger().history(f"device:{device}")
    shown["history"] = [change.to_json() for change in history]
    return shown


def _record_shown(record: DeviceRecord) -> dict[str, object]:
    digest = hashlib.sha256(record.public_key.encode()).hexdigest()
    key_since = record.key_since or record.enrolled_at
    return {
        "key_sha256": digest if record.public_key else None,
        "key_since": key_since.isoformat() if record.public_key else None,
        "is_rotation_wanted": record.is_rotation_wanted,
        "models": list(record.models),
        "revoked_by": record.revocation.by if record.revocation else None,
    }
