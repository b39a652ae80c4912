"""What shadow runs found reaches the ledger, each message once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from functions.release.shadows import (
    NOTHING,
    ShadowCounts,
    ShadowReport,
    encode_shadow_report,
)
from packhorse.names import Release

AT = datetime.now(UTC)
ONE, TWO = Release("magika", 1), Release("magika", 2)
COUNTS = ShadowCounts(9, 1, 2, 8, 0.5, 0.75, "it differs")
REPORT = ShadowReport("a" * 32, ONE, TWO, AT, COUNTS)
BODY = encode_shadow_report(REPORT)


@pytest.fixture
def take(push, ledger):
    return lambda body: push("record_shadows", body)


def test_a_message_that_comes_twice_is_counted_once(take, ledger):
    assert [take(BODY).status_code for _ in range(2)] == [200, 200]

    assert ledger.shadow_counts(ONE, TWO) == COUNTS


def test_a_process_whose_clock_is_ahead_does_not_count_for_ever(take, ledger):
    ahead = replace(REPORT, since=AT + timedelta(days=36_500))
    assert take(encode_shadow_report(ahead)).status_code == 200

    assert ledger.shadow_counts(ONE, TWO) == COUNTS
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert ledger.shadow_counts(ONE, TWO, since=later) == NOTHING


def test_what_is_replayed_after_its_id_is_forgotten_is_not_counted(take, ledger):
    old = replace(REPORT, since=AT - timedelta(days=40))
    assert take(encode_shadow_report(old)).status_code == 200

    assert ledger.shadow_counts(ONE, TWO) == NOTHING


def test_who_is_not_pubsub_counts_nothing(push, ledger):
    response = push("record_shadows", BODY, headers={"Authorization": "Bearer forged"})

    assert response.status_code == 401
    assert ledger.shadow_counts(ONE, TWO) == NOTHING


def test_garbage_is_acknowledged(take, ledger):
    assert take(b"garbage").status_code == 200
    assert take(BODY.replace(b"magika@1", b"magika@2")).status_code == 200

    assert ledger.snapshot_status()["shadows"] == []


def test_a_database_that_is_away_keeps_the_message(push, monkeypatch):
    monkeypatch.setenv("LEDGER_URL", "sqlite:////nowhere/ledger.db")

    assert push("record_shadows", BODY).status_code == 503
