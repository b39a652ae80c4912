"""Sums that wait for Pub/Sub."""

from datetime import UTC, datetime
from itertools import count

from functions.prediction.shadow_sums import PAIRS_MAX, ShadowSums
from functions.release.shadows import ShadowCounts
from packhorse.names import Release

AT = datetime(2026, 11, 22, tzinfo=UTC)
ONE, TWO = Release("magika", 1), Release("magika", 2)
AGREED, DIFFERED = ShadowCounts(agreed=1), ShadowCounts(differed=1)


def sums():
    ids = count()
    return ShadowSums(lambda: AT, lambda: f"{next(ids):032x}")


def test_what_is_found_adds_up_by_pair():
    found = sums()
    found.add(ONE, TWO, AGREED)
    found.add(ONE, TWO, DIFFERED)
    found.add(ONE, Release("magika", 3), AGREED)

    first, second = found.leaving()

    assert first.counts == ShadowCounts(agreed=1, differed=1)
    assert second.candidate == Release("magika", 3)
    assert first.since == AT


def test_what_leaves_stays_the_same_until_it_is_taken():
    found = sums()
    found.add(ONE, TWO, AGREED)
    before = list(found.leaving())
    found.add(ONE, TWO, DIFFERED)

    assert list(found.leaving()) == before
    found.taken()
    (after,) = found.leaving()
    assert after.counts == DIFFERED
    assert after.id != before[0].id


def test_it_is_empty_when_all_is_taken():
    found = sums()
    assert found.is_empty
    found.add(ONE, TWO, AGREED)
    found.leaving()
    assert not found.is_empty
    found.taken()
    assert found.is_empty


def test_pairs_are_bounded_while_nobody_takes_them():
    found = sums()
    added = [
        found.add(ONE, Release("magika", number), AGREED)
        for number in range(2, PAIRS_MAX + 3)
    ]

    assert added == [True] * PAIRS_MAX + [False]
    assert found.add(ONE, TWO, AGREED)
