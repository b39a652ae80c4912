"""A revoked device counts nowhere, until it enrols again."""

import json

from functions.release.device_record import Revocation
from functions.release.gate import RingCounts
from packhorse.assignment import WHOLE

BY = "operator@example.com"


def counts(ledger):
    return ledger.ring_counts("magika-2-1", ring=0, share=WHOLE)


def test_a_revoked_device_counts_in_no_gate(ledger, report, now, later):
    for device in ("a", "b"):
        ledger.record_device(device, ring=0, at=now)
        ledger.record_report(report(device), digest=device, at=now)
    assert counts(ledger) == RingCounts(offered=2, succeeded=2, failed=0)

    gone = Revocation(later(1), BY, "stolen")
    assert ledger.revoke_device("a", ring=0, revocation=gone)

    assert counts(ledger) == RingCounts(offered=1, succeeded=1, failed=0)
    assert ledger.devices_in_ring(0) == ["b"]
    assert ledger.fleet_size() == 1


def test_a_ring_whose_devices_are_all_gone_is_none(ledger, now, later):
    ledger.record_device("a", ring=3, at=now)

    ledger.revoke_device("a", ring=3, revocation=Revocation(later(1), BY, ""))

    assert ledger.rings() == []


def test_every_rollout_is_looked_at_again_once(ledger, now, later):
    ledger.record_device("a", ring=0, at=now)
    gone = Revocation(later(1), BY, "stolen")

    assert ledger.revoke_device("a", ring=0, revocation=gone)
    assert not ledger.revoke_device("a", ring=0, revocation=gone)

    assert [json.loads(e.body) for e in ledger.pending_events(10)] == [{}]
    whats = [change.what for change in ledger.history("device:a")]
    assert whats == ["enrolled in ring 0", "revoked"]


def test_news_of_an_enrolment_before_it_changes_nothing(ledger, now, later):
    gone = Revocation(later(1), BY, "stolen")
    ledger.record_device("a", ring=0, at=now)
    ledger.revoke_device("a", ring=0, revocation=gone)

    assert not ledger.record_device("a", ring=0, at=now)
    assert ledger.fleet_size() == 0


def test_a_device_that_enrols_after_it_counts_again(ledger, now, later):
    ledger.record_device("a", ring=0, at=now)
    ledger.revoke_device("a", ring=0, revocation=Revocation(later(1), BY, "stolen"))
    (status,) = ledger.device_statuses(limit=10)
    assert (status.revoked_at, status.reason) == (later(1), "stolen")

    ledger.invite_device("a", ring=2, by=BY, at=later(2))
    assert ledger.record_device("a", ring=2, at=later(3))

    (status,) = ledger.device_statuses(limit=10)
    assert (status.ring, status.is_enrolled, status.revoked_at) == (2, True, None)
    assert ledger.fleet_size() == 1
    assert ledger.revoke_device("a", ring=2, revocation=Revocation(later(4), BY, ""))
    assert ledger.fleet_size() == 0


def test_one_device_is_asked_for_alone(ledger, now):
    for device in ("a", "b"):
        ledger.record_device(device, ring=0, at=now)

    assert [s.device for s in ledger.device_statuses(limit=9, device="b")] == ["b"]
    assert ledger.device_statuses(limit=9, device="c") == []
