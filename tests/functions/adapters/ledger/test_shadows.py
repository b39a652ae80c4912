"""What shadow runs found, counted once, on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest

from functions.release.shadows import (
    COUNT_MAX,
    NOTHING,
    ShadowCounts,
    ShadowReport,
)
from packhorse.names import Release

ONE, TWO, THREE = (Release("magika", version) for version in (1, 2, 3))
COUNTS = ShadowCounts(9, 1, 2, 8, 0.5, 0.75, "it differs")


@pytest.fixture
def report(now):
    def make(number=1, counts=COUNTS, since=now, **changes):
        plain = ShadowReport(f"{number:032x}", ONE, TWO, since, counts)
        return replace(plain, **changes)

    return make


def test_a_message_is_counted_once_however_often_it_comes(ledger, report, now):
    assert ledger.record_shadows(report(), at=now)
    assert not ledger.record_shadows(report(), at=now)

    assert ledger.shadow_counts(ONE, TWO) == COUNTS


def test_messages_add_up_within_a_minute_and_over_many(ledger, report, later):
    quiet = replace(COUNTS, reason="")
    for number, seconds in enumerate([0, 10, 61, 600]):
        counts = quiet if seconds in {0, 61} else COUNTS
        found = report(number, counts, since=later(seconds))
        assert ledger.record_shadows(found, at=later(seconds))

    assert ledger.shadow_counts(ONE, TWO) == ShadowCounts(
        36, 4, 8, 32, 2.0, 3.0, "it differs"
    )


def test_a_reason_that_no_database_can_keep_stops_nothing(ledger, report, now):
    quiet = replace(COUNTS, reason="")
    odd = replace(COUNTS, reason="a\0b\ud800c")
    for number, counts in enumerate([quiet, odd, quiet]):
        assert ledger.record_shadows(report(number, counts), at=now)

    assert ledger.shadow_counts(ONE, TWO).reason == "a?b?c"


def test_the_largest_sums_that_may_come_add_up(ledger, report, now):
    most = ShadowCounts(COUNT_MAX, COUNT_MAX, COUNT_MAX, COUNT_MAX, 1e12, 1e12, "x")
    for number in range(20):
        assert ledger.record_shadows(report(number, most), at=now)

    assert ledger.shadow_counts(ONE, TWO).compared == 40 * COUNT_MAX


def test_each_pair_of_releases_has_sums_of_its_own(ledger, report, now):
    ledger.record_shadows(report(1), at=now)
    ledger.record_shadows(report(2, candidate=THREE), at=now)

    assert ledger.shadow_counts(ONE, THREE) == COUNTS
    assert ledger.shadow_counts(TWO, THREE) == NOTHING


def test_what_was_found_before_may_be_left_out(ledger, report, later):
    ledger.record_shadows(report(1, since=later(0)), at=later(0))
    ledger.record_shadows(report(2, since=later(60)), at=later(60))

    assert ledger.shadow_counts(ONE, TWO, since=later(1)) == COUNTS
    assert ledger.shadow_counts(ONE, TWO, since=later(61)) == NOTHING


def test_what_is_old_is_forgotten(ledger, report, later):
    ledger.record_shadows(report(1), at=later(0))
    far = timedelta(days=91).total_seconds()
    ledger.record_shadows(report(2, since=later(far)), at=later(far))

    assert ledger.shadow_counts(ONE, TWO) == COUNTS
    assert ledger.record_shadows(report(1), at=later(far))


def test_people_see_the_pairs_compared_last(ledger, report, later):
    ledger.record_shadows(report(1), at=later(0))
    found = report(2, live=TWO, candidate=THREE, since=later(60))
    ledger.record_shadows(found, at=later(60))

    shown = ledger.snapshot_status()["shadows"]

    assert [row["candidate"] for row in shown] == ["magika@3", "magika@2"]
    assert shown[1] == {
        "live": "magika@1",
        "candidate": "magika@2",
        "compared": 10,
        "agreement": 0.9,
        "failed": 2,
        "latency_ratio": 1.5,
        "reason": "it differs",
        "last_at": "2026-11-22T12:00:00+00:00",
    }
