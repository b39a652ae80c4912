"""What may happen to a rollout, and what may not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.errors import ConflictError, RolloutError
from functions.release import rollout
from functions.release.rollout import RolloutState
from packhorse.assignment import (
    BundleRef,
    Offer,
    assigned_offer,
    bundle_target,
    decode_rollout,
    encode_rollout,
)
from packhorse.names import Release
from tests.functions.release.conftest import NOW


def test_a_first_rollout_waits_and_offers_nothing_but_its_candidate(waiting, offer):
    assert waiting.state is RolloutState.WAITING
    assert waiting.sequence == 1
    assert waiting.candidate == offer(1)
    assert (waiting.stable, waiting.former, waiting.shares) == (None, None, {})
    assert not waiting.is_published


def test_a_new_rollout_keeps_what_everybody_runs(finished, offer):
    begun = rollout.begin(finished, offer(2), at=NOW)

    assert begun.stable == offer(1)
    assert begun.candidate == offer(2)
    assert begun.sequence == finished.sequence + 1
    assert begun.rollout_id != finished.rollout_id


def test_a_new_rollout_supersedes_an_unfinished_one(opened, offer):
    begun = rollout.begin(opened, offer(3), at=NOW)

    assert begun.candidate == offer(3)
    assert begun.stable == offer(1)
    assert begun.shares == {}


@pytest.mark.parametrize("version", [1, 2])
def test_a_release_that_had_its_turn_does_not_begin_again(opened, offer, version):
    assert rollout.begin(opened, offer(version), at=NOW) is None


def test_a_superseded_release_does_not_begin_again(opened, offer):
    superseded = rollout.begin(opened, offer(3), at=NOW)

    assert rollout.begin(superseded, offer(2), at=NOW) is None


def test_opening_the_first_ring_admits_a_share_of_it(opened):
    assert opened.state is RolloutState.OPEN
    assert opened.shares == {0: 500}
    assert opened.traffic_percent == 0


def test_opening_wider_admits_whole_rings_and_some_of_the_clouds_callers(opened, later):
    wider = rollout.open_wider(opened, rings=(0, 1), traffic_percent=5, at=later(60))

    assert wider.shares == {0: 10_000, 1: 10_000}
    assert (wider.ring, wider.traffic_percent) == (1, 5)
    assert wider.opened_at == later(60)


def test_finishing_makes_the_candidate_stable_and_keeps_the_one_before(upgraded, offer):
    assert upgraded.state is RolloutState.FINISHED
    assert (upgraded.stable, upgraded.former) == (offer(2), offer(1))
    assert upgraded.is_over
    assert upgraded.traffic_percent == 100


def test_a_halted_rollout_is_held_and_goes_on_where_it_was(opened, later):
    halted = rollout.halt(opened, reason="a hunch")
    resumed = rollout.resume(halted, at=later(5))

    assert rollout.document_from(halted).is_held
    assert halted.reason == "a hunch"
    assert (resumed.state, resumed.shares) == (RolloutState.OPEN, opened.shares)
    assert resumed.opened_at == later(5)
    assert not rollout.document_from(resumed).is_held


def test_a_rollout_halted_before_it_opened_waits_again_when_resumed(waiting):
    resumed = rollout.resume(rollout.halt(waiting, reason="not yet"), at=NOW)

    assert resumed.state is RolloutState.WAITING


def test_halting_twice_is_refused(opened):
    with pytest.raises(ConflictError, match="halted already"):
        rollout.halt(rollout.halt(opened, reason="a"), reason="b")


def test_a_rollout_that_is_not_halted_cannot_be_resumed(opened):
    with pytest.raises(ConflictError, match="is open, not halted"):
        rollout.resume(opened, at=NOW)


def test_nothing_under_way_can_be_neither_halted_nor_resumed(finished):
    with pytest.raises(ConflictError, match="nothing to halt"):
        rollout.halt(finished, reason="late")
    with pytest.raises(ConflictError, match="nothing to open"):
        rollout.resume(finished, at=NOW)


def test_withdrawing_the_candidate_leaves_stable_alone(opened, offer):
    withdrawn = rollout.withdraw(opened, Release("magika", 2), reason="it failed")

    assert withdrawn.state is RolloutState.WITHDRAWN
    assert (withdrawn.candidate, withdrawn.stable) == (None, offer(1))
    assert withdrawn.withdrawn == (Release("magika", 2),)
    assert (withdrawn.traffic_percent, withdrawn.reason) == (0, "it failed")


def test_withdrawing_stable_goes_back_to_the_one_before(upgraded, offer):
    withdrawn = rollout.withdraw(upgraded, Release("magika", 2), reason="wrong")

    assert withdrawn.state is RolloutState.WITHDRAWN
    assert (withdrawn.stable, withdrawn.former) == (offer(1), None)


def test_withdrawing_stable_lets_the_rollout_under_way_go_on(upgraded, offer):
    begun = rollout.begin(upgraded, offer(3), at=NOW)
    withdrawn = rollout.withdraw(begun, Release("magika", 2), reason="wrong")

    assert withdrawn.state is RolloutState.WAITING
    assert (withdrawn.candidate, withdrawn.stable) == (offer(3), offer(1))


def test_withdrawing_stable_ends_a_halted_rollout_so_that_gateways_listen(
    upgraded, offer
):
    begun = rollout.begin(upgraded, offer(3), at=NOW)
    halted = rollout.halt(begun, reason="a hunch")

    withdrawn = rollout.withdraw(halted, Release("magika", 2), reason="wrong")

    document = rollout.document_from(withdrawn)
    assert not document.is_held
    assert (document.candidate, document.stable) == (None, offer(1))
    assert rollout.begin(withdrawn, offer(2), at=NOW) is None


def test_withdrawing_the_former_release_only_forgets_it(upgraded, offer):
    withdrawn = rollout.withdraw(upgraded, Release("magika", 1), reason="unsafe")

    assert withdrawn.state is RolloutState.FINISHED
    assert (withdrawn.stable, withdrawn.former) == (offer(2), None)


def test_the_first_release_cannot_be_withdrawn_with_nothing_before_it(finished):
    with pytest.raises(ConflictError, match="no release before it"):
        rollout.withdraw(finished, Release("magika", 1), reason="wrong")


def test_a_release_that_is_not_offered_cannot_be_withdrawn(opened, waiting):
    with pytest.raises(ConflictError, match=r"magika@9 is not offered.*magika@2"):
        rollout.withdraw(opened, Release("magika", 9), reason="typo")
    gone = rollout.withdraw(waiting, Release("magika", 1), reason="wrong")
    with pytest.raises(ConflictError, match="withdrawn already; magika offers nothing"):
        rollout.withdraw(gone, Release("magika", 1), reason="again")


def test_finishing_the_release_after_a_withdrawn_one_keeps_the_way_back(
    upgraded, offer
):
    record = rollout.withdraw(upgraded, Release("magika", 2), reason="wrong")
    record = rollout.finish(rollout.begin(record, offer(3), at=NOW))

    assert (record.stable, record.former) == (offer(3), offer(1))


def test_marking_as_published_is_no_change_of_its_own(opened):
    marked = rollout.mark_published(opened)

    assert marked.is_published
    assert marked.sequence == opened.sequence


def test_the_document_names_the_rollout_only_while_there_is_a_candidate(
    opened, upgraded
):
    running, over = rollout.document_from(opened), rollout.document_from(upgraded)

    assert running.rollout_id == opened.rollout_id
    assert running.shares == {0: 500}
    assert (over.rollout_id, over.candidate) == ("", None)
    assert decode_rollout(encode_rollout(running)) == running


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": 0},
        {"published_sequence": 99},
        {"traffic_percent": 101},
        {"shares": {0: 10_001}},
        {"withdrawn": (Release("magika", 1),)},
    ],
    ids=["sequence", "published", "traffic", "share", "withdrawn"],
)
def test_a_record_that_contradicts_itself_is_refused(opened, changes):
    with pytest.raises(RolloutError):
        replace(opened, **changes)


STEPS = st.one_of(
    st.tuples(st.just("begin"), st.integers(1, 6)),
    st.tuples(st.just("withdraw"), st.integers(1, 6)),
    st.tuples(
        st.sampled_from(["open", "wider", "finish", "halt", "resume"]), st.none()
    ),
)


@given(st.lists(STEPS, max_size=30))
def test_no_sequence_of_changes_leads_a_withdrawn_release_back_in(steps):
    record, withdrawn = None, set()

    for verb, version in steps:
        before = record
        record = _apply(record, verb, version)
        withdrawn |= set(record.withdrawn) if record else set()
        if record is None:
            continue
        assert withdrawn == set(record.withdrawn)
        assert not withdrawn & set(record.offered)
        assert before is None or record.sequence - before.sequence in (0, 1)
        document = decode_rollout(encode_rollout(rollout.document_from(record)))
        given_out = assigned_offer(document, device="gateway-1", ring=0)
        assert given_out is None or given_out.release not in withdrawn


def _apply(record, verb, version):
    """Make one change, as whoever asks for it would; refused ones change nothing."""
    if verb == "begin":
        return rollout.begin(record, _offer(version), at=NOW) or record
    if record is None:
        return None
    try:
        return _changed(record, verb, version)
    except ConflictError:
        return record


def _changed(record, verb, version):
    if record.is_over and verb not in {"withdraw", "halt", "resume"}:
        return record
    release = Release("magika", version or 1)
    changes = {
        "withdraw": lambda: rollout.withdraw(record, release, reason="bad"),
        "halt": lambda: rollout.halt(record, reason="a hunch"),
        "resume": lambda: rollout.resume(record, at=NOW),
        "finish": lambda: rollout.finish(record),
        "open": lambda: rollout.open_first(
            record, ring=0, share=9, rollout_id="magika-1", at=NOW
        ),
        "wider": lambda: rollout.open_wider(
            record, rings=(0, 1), traffic_percent=5, at=NOW
        ),
    }
    return changes[verb]()


def _offer(version):
    release = Release("magika", version)
    bundle = BundleRef(bundle_target(release, "fp32"), 10, f"{version:064x}")
    return Offer(release, {"fp32": bundle})


def test_only_the_first_ring_asks_since_when_a_device_is_enrolled(opened, later):
    halted = rollout.halt(opened, reason="a hunch")
    resumed = rollout.resume(halted, at=later(60))
    wider = rollout.open_wider(resumed, rings=[1], traffic_percent=5, at=later(90))

    asked = [
        rollout.document_from(record).enrolled_before
        for record in (opened, resumed, wider, rollout.finish(wider))
    ]

    assert asked == [opened.opened_at, opened.opened_at, None, None]
