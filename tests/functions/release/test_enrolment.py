"""A token admits its device, in time; records survive being written."""

from dataclasses import replace
from datetime import timedelta

import pytest

from functions.errors import ConflictError, EnrolmentRefusedError
from functions.release import enrolment
from functions.release.device_record import DeviceRecord, Revocation, device_name
from functions.release.enrolment import Enrolled, Invitation
from packhorse.errors import MalformedError
from packhorse.strict_json import encode_json

TOKEN = "t" * 43


@pytest.fixture
def invitation(now):
    return Invitation("gateway-1", 3, "operator@example.com", now + timedelta(hours=1))


@pytest.fixture
def record(now):
    return DeviceRecord("gateway-1", 3, "pem", now)


def test_an_invited_device_is_admitted(invitation, now):
    admitted = enrolment.admit(invitation, device="gateway-1", now=now)

    assert admitted == invitation


def test_others_are_not(invitation, now, later):
    with pytest.raises(EnrolmentRefusedError, match="gateway-2"):
        enrolment.admit(invitation, device="gateway-2", now=now)
    with pytest.raises(EnrolmentRefusedError, match="does not admit"):
        enrolment.admit(None, device="gateway-1", now=now)
    with pytest.raises(EnrolmentRefusedError, match="ended at"):
        enrolment.admit(invitation, device="gateway-1", now=later(3600))


def test_a_token_of_before_a_revocation_admits_nobody_ever_again(
    invitation, record, now, later
):
    gone = replace(record, revocation=Revocation(now, "operator@example.com", "lost"))
    # Of before: it did not say when it was given.
    assert invitation.given_at < now

    with pytest.raises(EnrolmentRefusedError, match="revoked after"):
        enrolment.admit(invitation, device="gateway-1", now=later(1), known=gone)


def test_a_token_of_after_a_revocation_admits_another_key(
    invitation, record, now, later
):
    gone = replace(record, revocation=Revocation(now, "operator@example.com", "lost"))
    fresh = replace(invitation, invited_at=later(1))

    assert enrolment.admit(fresh, device="gateway-1", now=later(2), known=gone)
    enrolment.check_new_key(gone, "other pem")
    with pytest.raises(EnrolmentRefusedError, match="new one"):
        enrolment.check_new_key(gone, "pem")


def test_a_device_keeps_its_key(record):
    enrolment.check_same_key(record, "pem")
    with pytest.raises(ConflictError, match="another key"):
        enrolment.check_same_key(record, "other pem")


def test_records_read_back_as_they_were_written(invitation, record, now):
    event = Enrolled("gateway-1", 3, now)

    written = enrolment.encode_invitation(invitation)
    assert enrolment.decode_invitation(written) == invitation
    limited = replace(invitation, models=("magika",), invited_at=now)
    written = enrolment.encode_invitation(limited)
    assert enrolment.decode_invitation(written) == limited
    assert enrolment.decode_enrolled(enrolment.encode_enrolled(event)) == event


def test_names_never_show_the_token(record):
    names = {enrolment.invitation_name(TOKEN), enrolment.spent_name(TOKEN)}

    assert len(names) == 2
    assert not [name for name in names if TOKEN in name]
    assert device_name(record.device) == "devices/gateway-1.json"


def test_an_envelope_is_no_news_of_an_enrolment():
    assert enrolment.decode_enrolled(b'{"device":"a","payload":""}') is None


@pytest.mark.parametrize("instant", ["yesterday", "2026-11-22T12:00:00"])
def test_a_time_that_is_none_is_refused(instant):
    body = {"device": "a", "ring": 0, "by": "x", "expires_at": instant}

    with pytest.raises(MalformedError, match="time"):
        enrolment.decode_invitation(encode_json(body))
