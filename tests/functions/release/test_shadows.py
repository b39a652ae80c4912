"""The sums of shadow runs: their message, and when they hold a candidate back."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.errors import RolloutError
from functions.release import rollout
from functions.release.gate import shadow_obstacle
from functions.release.shadows import (
    AGE_MAX,
    COUNT_MAX,
    MESSAGE_MAX_BYTES,
    NOTHING,
    REASON_MAX,
    TOOK_MAX_S,
    ShadowCounts,
    ShadowGate,
    ShadowReport,
    dated,
    decode_shadow_report,
    encode_shadow_report,
    shadow_objection,
)
from packhorse.errors import LimitExceededError, MalformedError
from packhorse.names import Release

AT = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
ONE, TWO = Release("magika", 1), Release("magika", 2)
COUNTS = ShadowCounts(97, 3, 2, 90, 1.5, 1.75, "output 'y' differs by 0.2")
REPORT = ShadowReport("0" * 31 + "a", ONE, TWO, AT, COUNTS)
GATE = ShadowGate(min_agreement=0.98, min_count=100, max_latency_ratio=1.5)


def test_a_report_comes_back_as_it_was_written():
    assert decode_shadow_report(encode_shadow_report(REPORT)) == REPORT


def test_the_message_is_what_the_protocol_says():
    assert json.loads(encode_shadow_report(REPORT)) == {
        "format": 1,
        "id": "0000000000000000000000000000000a",
        "live": "magika@1",
        "candidate": "magika@2",
        "since": "2026-11-22T12:00:30.000+00:00",
        "agreed": 97,
        "differed": 3,
        "failed": 2,
        "timed": 90,
        "live_s": 1.5,
        "shadow_s": 1.75,
        "reason": "output 'y' differs by 0.2",
    }


@given(st.text(max_size=2 * REASON_MAX))
def test_a_long_reason_is_cut_so_that_the_message_can_be_read(reason):
    report = replace(REPORT, counts=replace(COUNTS, reason=reason))
    body = encode_shadow_report(report)
    assert len(body) <= MESSAGE_MAX_BYTES
    assert decode_shadow_report(body).counts.reason == reason[:REASON_MAX]


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"id": "A" * 32},
        {"live": "magika"},
        {"live": "magika@2"},
        {"live": "digits@1"},
        {"since": "2026-11-22T12:00:30"},
        {"agreed": -1},
        {"agreed": 1.5},
        {"timed": 101},
        {"live_s": -1},
        {"live_s": "1"},
        {"agreed": 10**9 + 1},
        {"failed": 2**53 - 1},
        {"live_s": 1e308},
        {"shadow_s": 90 * 7200.1},
        {"timed": 0},
        {"other": 1},
    ],
    ids=str,
)
def test_what_is_no_report_is_refused(changes):
    document = json.loads(encode_shadow_report(REPORT)) | changes
    with pytest.raises(MalformedError):
        decode_shadow_report(json.dumps(document).encode())


def test_a_clock_that_is_ahead_counts_as_when_the_message_came():
    ahead = replace(REPORT, since=AT + timedelta(days=36_500))
    late = AT + timedelta(hours=1)

    assert dated(ahead, published_at=AT, now=late).since == AT
    assert dated(ahead, published_at=late, now=AT).since == AT
    assert dated(REPORT, published_at=late, now=late) == REPORT


def test_what_is_so_old_that_its_id_may_be_forgotten_is_not_counted():
    last = AT + AGE_MAX
    assert dated(REPORT, published_at=last, now=last) == REPORT
    with pytest.raises(MalformedError, match="31 days old"):
        dated(REPORT, published_at=AT, now=last + timedelta(seconds=1))


def test_the_longest_that_can_be_is_no_reason_to_stop():
    most = ShadowCounts(COUNT_MAX, 0, 0, COUNT_MAX, 1e-6, TOOK_MAX_S * COUNT_MAX)
    report = replace(REPORT, counts=most)

    assert decode_shadow_report(encode_shadow_report(report)) == report
    assert "times as long" in shadow_objection(most, GATE)
    assert not shadow_objection(replace(most, live_s=0.0), GATE)


def test_a_message_that_is_too_long_is_refused():
    with pytest.raises(LimitExceededError):
        decode_shadow_report(b" " * (MESSAGE_MAX_BYTES + 1))


def test_sums_add_up_and_keep_the_first_reason():
    assert NOTHING + COUNTS + ShadowCounts(differed=1, reason="later") == ShadowCounts(
        97, 4, 2, 90, 1.5, 1.75, "output 'y' differs by 0.2"
    )


def test_where_nothing_was_compared_there_is_no_ratio():
    assert NOTHING.agreement is None
    assert NOTHING.latency_ratio is None
    assert ShadowCounts(failed=5).agreement is None


def test_too_little_agreement_is_an_objection_that_says_why():
    assert shadow_objection(COUNTS, GATE) == (
        "of 100 live requests 97.0% were answered alike, expected at least 98.0%: "
        "output 'y' differs by 0.2"
    )


def test_enough_agreement_is_none():
    assert not shadow_objection(ShadowCounts(98, 2), GATE)


def test_few_comparisons_judge_nothing():
    assert not shadow_objection(ShadowCounts(0, 99), GATE)
    assert shadow_objection(ShadowCounts(0, 100), GATE)


def test_failures_are_no_disagreement():
    assert not shadow_objection(ShadowCounts(agreed=100, failed=1000), GATE)


def test_a_candidate_that_takes_too_long_is_objected_to():
    slow = ShadowCounts(100, 0, 0, 100, 1.0, 1.6)
    assert "1.6 times as long" in shadow_objection(slow, GATE)
    assert not shadow_objection(replace(slow, shadow_s=1.4), GATE)
    assert not shadow_objection(replace(slow, timed=99), GATE)


def test_any_latency_will_do_unless_a_limit_is_set():
    slow = ShadowCounts(100, 0, 0, 100, 1.0, 99.0)
    assert not shadow_objection(slow, replace(GATE, max_latency_ratio=0.0))


def test_an_agreement_of_nothing_only_observes():
    assert not shadow_objection(ShadowCounts(0, 999), ShadowGate(min_agreement=0.0))


@pytest.mark.parametrize(
    "changes",
    [{"min_agreement": 1.1}, {"max_latency_ratio": -1.0}, {"min_count": 0}],
    ids=str,
)
def test_limits_that_make_no_sense_are_refused(changes):
    with pytest.raises(RolloutError):
        replace(GATE, **changes)


def test_a_rollout_under_way_is_halted(opened, gate):
    strict = replace(gate, shadow=GATE)

    assert shadow_obstacle(opened, COUNTS, strict).startswith("shadow runs: of 100")
    assert not shadow_obstacle(opened, NOTHING, strict)


def test_one_that_is_halted_or_over_is_left_alone(opened, finished, gate):
    strict = replace(gate, shadow=GATE)
    halted = rollout.halt(opened, reason="a hunch")

    assert not shadow_obstacle(halted, COUNTS, strict)
    assert not shadow_obstacle(finished, COUNTS, strict)
