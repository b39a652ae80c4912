"""A device makes its key once, and makes itself known once."""

import json
import stat
from datetime import UTC, datetime

import pytest

from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.identity.enroll import Place, load_identity
from edge_runtime.agent.network.web import Web
from packhorse.device_key import verify_envelope
from packhorse.report import open_envelope


def test_the_key_is_made_once_and_readable_by_its_user_only(state_dir):
    first = load_identity(state_dir, "gateway-1")
    second = load_identity(state_dir, "gateway-1")

    assert first == second
    mode = (state_dir / "device.key").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_an_enrolment_proves_the_key_and_carries_the_token(identity, receiver):
    receiver.statuses = [201]
    identity.enroll(Web(), receiver.url, "one-time")

    envelope = open_envelope(receiver.bodies[0])
    payload = json.loads(envelope.payload)
    assert payload["token"] == "one-time"
    verify_envelope(envelope, payload["public_key"], purpose="enroll")
    assert identity.is_enrolled


@pytest.mark.parametrize("status", [403, 409, 500])
def test_an_enrolment_that_was_not_taken_is_tried_again_with_the_same_key(
    identity, receiver, status
):
    receiver.statuses = [status, 200]
    with pytest.raises(UnavailableError):
        identity.enroll(Web(), receiver.url, "one-time")
    assert not identity.is_enrolled

    identity.enroll(Web(), receiver.url, "one-time")
    assert identity.is_enrolled


def test_the_ring_is_the_one_that_the_cloud_gave(identity, receiver):
    assert identity.place(0) == Place(0)
    receiver.ring = 7

    identity.enroll(Web(), receiver.url + "/enroll", "one-time")

    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert identity.place(0) == Place(7, at)


def test_an_answer_without_a_ring_enrols_nobody(identity, receiver):
    receiver.ring = 100

    with pytest.raises(UnavailableError, match="ring"):
        identity.enroll(Web(), receiver.url + "/enroll", "one-time")

    assert not identity.is_enrolled
