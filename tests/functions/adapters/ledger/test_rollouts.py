"""A rollout's record changes only if unchanged since it was read."""

import json
from dataclasses import replace

import pytest

from functions.errors import ConflictError
from functions.release import rollout
from functions.release.rollout import RolloutState
from packhorse.names import Release

FIRST, SECOND = Release("magika", 1), Release("magika", 2)


@pytest.fixture
def waiting(ledger, deploy, now):
    """Release 1 waits for its rollout; nothing else is in the outbox."""
    deploy(FIRST)
    ledger.open_rollout(FIRST, at=now)
    forget(ledger)
    return ledger.rollout("magika")


@pytest.fixture
def save(ledger, now):
    def do(record, before, **more):
        expected = before.sequence
        ledger.save_rollout(record, expected_sequence=expected, at=now, **more)

    return do


def forget(ledger):
    ledger.mark_sent([event.id for event in ledger.pending_events(100)])


def events(ledger):
    pending = ledger.pending_events(100)
    return [(event.topic, json.loads(event.body)) for event in pending]


def opened(record, now):
    return rollout.open_first(
        record, ring=0, share=500, rollout_id=record.rollout_id, at=now
    )


def test_opening_a_rollout_makes_its_record_once(ledger, deploy, now):
    deploy(FIRST)
    forget(ledger)

    assert ledger.open_rollout(FIRST, at=now)
    assert not ledger.open_rollout(FIRST, at=now)

    record = ledger.rollout("magika")
    assert record.state is RolloutState.WAITING
    assert record.candidate == ledger.release(FIRST).offer()
    assert events(ledger) == [("advance", {"model": "magika"})]


def test_a_release_that_is_not_deployed_is_not_rolled_out(ledger, register, now):
    register(FIRST)

    with pytest.raises(ConflictError, match="registered"):
        ledger.open_rollout(FIRST, at=now)


def test_a_newer_release_supersedes_an_unfinished_rollout(ledger, waiting, deploy, now):
    deploy(SECOND)

    assert ledger.open_rollout(SECOND, at=now)

    record = ledger.rollout("magika")
    assert record.candidate.release == SECOND
    assert record.sequence == waiting.sequence + 1


def test_a_saved_record_reads_back_the_same(ledger, waiting, save, now):
    record = replace(opened(waiting, now), traffic_percent=7, reason="because")
    save(record, waiting)

    assert ledger.rollout("magika") == record


def test_a_record_that_changed_meanwhile_is_not_overwritten(ledger, waiting, save, now):
    record = opened(waiting, now)
    save(record, waiting)

    with pytest.raises(ConflictError, match="read it again"):
        save(rollout.halt(waiting, reason="x"), waiting)
    assert ledger.rollout("magika") == record


def test_devices_are_told_once_the_document_can_be_read(ledger, waiting, save, now):
    ledger.record_device("a", ring=0, at=now)
    ledger.record_device("b", ring=1, at=now)
    record = opened(waiting, now)
    save(record, waiting)
    assert events(ledger) == []

    save(rollout.mark_published(record), record)
    save(rollout.mark_published(record), record)

    body = {"model": "magika", "sequence": record.sequence, "rings": [0]}
    assert events(ledger) == [("rollouts", body)]


def test_a_withdrawal_is_told_to_every_ring(ledger, waiting, save, now):
    ledger.record_device("a", ring=0, at=now)
    ledger.record_device("b", ring=1, at=now)
    record = opened(waiting, now)
    save(record, waiting)
    withdrawn = rollout.withdraw(record, FIRST, reason="NaN")
    save(withdrawn, record)

    save(rollout.mark_published(withdrawn), withdrawn)

    assert events(ledger)[0][1]["rings"] == [0, 1]


def test_what_a_person_changed_is_carried_out_at_once(ledger, waiting, save):
    save(rollout.halt(waiting, reason="odd"), waiting, by="operator@example.com")

    assert events(ledger) == [("advance", {"model": "magika"})]
    last = ledger.history(FIRST)[-1]
    assert (last.by, last.reason) == ("operator@example.com", "odd")
    assert last.what == "rollout halted"


def test_models_are_active_until_over_and_published(ledger, waiting, save):
    assert ledger.active_models() == ["magika"]
    finished = rollout.finish(waiting)
    save(finished, waiting)
    assert ledger.active_models() == ["magika"]

    save(rollout.mark_published(finished), finished)

    assert ledger.active_models() == []


def test_a_model_without_rollout_has_none(ledger):
    assert ledger.rollout("nobody") is None
    assert ledger.active_models() == []


def test_status_shows_the_rollout(ledger, waiting):
    (shown,) = ledger.snapshot_status()["rollouts"]

    assert shown["candidate"]["release"] == "magika@1"
    assert shown["state"] == "waiting"
