"""Reports and enrolments reach the ledger, each once."""

from datetime import UTC, datetime

import pytest

from functions.release.enrolment import Enrolled, encode_enrolled
from packhorse.report import DeviceState
from tests.functions.fleet import Gateway

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def take(push, ledger, topics):
    return lambda body: push("record_reports", body)


def test_a_report_is_counted_once_and_moves_the_rollout(take, ledger, topics):
    ledger.record_device("gateway-1", ring=0, at=AT)
    body = Gateway().report()

    assert [take(body).status_code for _ in range(2)] == [200, 200]

    counts = ledger.ring_counts("magika-2-1", ring=0, share=10_000)
    assert (counts.offered, counts.succeeded) == (1, 1)
    assert topics.read_json("advance") == [{"model": "magika"}]


def test_a_replayed_sequence_with_another_content_is_recorded(take, ledger):
    gateway = Gateway()
    take(gateway.report(sequence=1))

    body = gateway.report(sequence=1, state=DeviceState.FAILED)
    assert take(body).status_code == 200

    (refusal,) = ledger.snapshot_status()["refusals"]
    assert refusal["subject"] == "device:gateway-1"


def test_an_enrolled_device_counts_from_now_on(take, ledger):
    body = encode_enrolled(Enrolled("gateway-1", 3, AT))

    assert [take(body).status_code for _ in range(2)] == [200, 200]

    assert ledger.devices_in_ring(3) == ["gateway-1"]
    (change,) = ledger.history("device:gateway-1")
    assert (change.what, change.at) == ("enrolled in ring 3", AT)


def test_garbage_is_acknowledged(take):
    assert take(b"garbage").status_code == 200


def test_a_database_that_is_away_keeps_the_message(push, project, monkeypatch):
    monkeypatch.setenv("LEDGER_URL", "sqlite:////nowhere/ledger.db")

    assert push("record_reports", Gateway().report()).status_code == 503
