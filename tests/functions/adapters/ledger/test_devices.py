"""A device counts once, whatever it reports and in whatever order."""

import hashlib
import json

import pytest

from functions.errors import ReportRefusedError
from functions.release.gate import RingCounts
from packhorse.assignment import WHOLE, device_position
from packhorse.names import Release
from packhorse.report import DeviceState

ROLLOUT = "magika-2-1"


@pytest.fixture
def take(ledger, report, now):
    def do(*arguments, digest="", **changes):
        made = report(*arguments, **changes)
        unique = hashlib.sha256(repr(made).encode()).hexdigest()
        return ledger.record_report(made, digest=digest or unique, at=now)

    return do


def enrol(ledger, now, *devices, ring=0):
    for device in devices:
        ledger.record_device(device, ring=ring, at=now)


def counts(ledger, ring=0, share=WHOLE):
    return ledger.ring_counts(ROLLOUT, ring=ring, share=share)


def test_enrolled_devices_are_known_by_ring(ledger, now):
    enrol(ledger, now, "b", "a")
    enrol(ledger, now, "c", ring=2)

    assert ledger.devices_in_ring(0) == ["a", "b"]
    assert ledger.rings() == [0, 2]
    assert ledger.fleet_size() == 3


def test_an_invited_device_does_not_count_before_it_enrols(ledger, now):
    ledger.invite_device("a", ring=1, by="operator@example.com", at=now)
    assert (ledger.rings(), ledger.fleet_size()) == ([], 0)

    assert ledger.record_device("a", ring=1, at=now)
    assert not ledger.record_device("a", ring=1, at=now)

    assert (ledger.rings(), ledger.fleet_size()) == ([1], 1)
    by = [change.by for change in ledger.history("device:a")]
    assert by == ["operator@example.com", ""]


def test_a_report_that_comes_twice_is_counted_once(ledger, take, now):
    enrol(ledger, now, "gateway-1")

    assert take()
    assert not take()

    assert counts(ledger) == RingCounts(offered=1, succeeded=1, failed=0)


def test_a_sequence_with_another_content_is_refused_and_recorded(ledger, take):
    take(digest="one")

    with pytest.raises(ReportRefusedError, match="sequence 1"):
        take(digest="two")

    (refusal,) = ledger.snapshot_status()["refusals"]
    assert refusal["subject"] == "device:gateway-1"


def test_two_serving_reports_of_one_device_are_one_success(ledger, take, now):
    enrol(ledger, now, "gateway-1", "gateway-2")
    take(sequence=1)
    take(sequence=2)

    assert counts(ledger) == RingCounts(offered=2, succeeded=1, failed=0)


def test_a_device_that_failed_once_stays_failed(ledger, take, now):
    enrol(ledger, now, "gateway-1")
    take(sequence=1, state=DeviceState.FAILED, reason="disk full")
    take(sequence=2)

    assert counts(ledger) == RingCounts(1, 0, 1, "disk full")


def test_an_overtaken_report_does_not_turn_the_clock_back(ledger, take, now):
    enrol(ledger, now, "gateway-1")
    take(sequence=5)
    take(sequence=4, state=DeviceState.DOWNLOADED)

    assert counts(ledger).succeeded == 1


def test_an_overtaken_failure_still_counts(ledger, take, now):
    enrol(ledger, now, "gateway-1")
    take(sequence=5)
    take(sequence=4, state=DeviceState.ROLLED_BACK, reason="crashed")

    assert counts(ledger) == RingCounts(1, 0, 1, "crashed")


def test_only_devices_that_the_share_admits_are_counted(ledger, take, now):
    names = [f"gateway-{number}" for number in range(8)]
    enrol(ledger, now, *names)
    for name in names:
        take(name)
    share = sorted(device_position(ROLLOUT, name) for name in names)[3]

    assert counts(ledger, share=share) == RingCounts(3, 3, 0)
    assert counts(ledger, share=0) == RingCounts(0, 0, 0)


def test_rings_and_rollouts_are_counted_apart(ledger, take, now):
    enrol(ledger, now, "gateway-1")
    enrol(ledger, now, "gateway-2", ring=1)
    take("gateway-1", rollout_id="magika-1-1")
    take("gateway-2")

    assert counts(ledger) == RingCounts(1, 0, 0)
    assert counts(ledger, ring=1) == RingCounts(1, 1, 0)


@pytest.mark.parametrize(
    ("state", "advances"),
    [
        (DeviceState.SERVING, True),
        (DeviceState.REFUSED, True),
        (DeviceState.FAILED, True),
        (DeviceState.ROLLED_BACK, True),
        (DeviceState.DOWNLOADED, False),
        (DeviceState.TRIED, False),
    ],
)
def test_reports_that_may_move_a_rollout_say_so(ledger, take, state, advances):
    take(state=state)

    bodies = [json.loads(event.body) for event in ledger.pending_events(10)]
    assert bodies == ([{"model": "magika"}] if advances else [])


def test_a_report_without_a_release_counts_in_no_rollout(ledger, take, now):
    enrol(ledger, now, "gateway-1")
    take(release=None, rollout_id="", state=DeviceState.ENROLLED)

    assert counts(ledger) == RingCounts(1, 0, 0)
    assert ledger.pending_events(10) == []


def test_status_shows_where_each_device_stands(ledger, take, now):
    enrol(ledger, now, "gateway-1")
    ledger.invite_device("gateway-2", ring=1, by="operator@example.com", at=now)
    take(sequence=1)
    take(sequence=2, state=DeviceState.REFUSED, reason="NaN in shadow")

    first, second = ledger.snapshot_status()["devices"]

    assert (first["state"], first["reason"]) == ("refused", "NaN in shadow")
    assert (first["release"], first["serving"]) == ("magika@2", "magika@2")
    assert (second["device"], second["is_enrolled"]) == ("gateway-2", False)


def test_words_that_no_database_can_keep_do_not_stop_a_report(ledger, take, now):
    enrol(ledger, now, "gateway-1")

    take(state=DeviceState.FAILED, reason="cut \ud800 here \0 and here")

    assert counts(ledger).reason == "cut ? here ? and here"


def test_status_shows_what_a_device_serves_whatever_else_it_tried(ledger, take, now):
    enrol(ledger, now, "gateway-1")
    take(sequence=1)
    take(sequence=2, release=Release("magika", 4), state=DeviceState.REFUSED)
    assert ledger.snapshot_status()["devices"][0]["serving"] == "magika@2"

    take(sequence=3, state=DeviceState.ROLLED_BACK)
    assert ledger.snapshot_status()["devices"][0]["serving"] == ""
