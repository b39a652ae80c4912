"""What the serving endpoint answers with while a rollout goes on."""

from functions.release import rollout
from functions.release.traffic import opening_percent, unneeded, wanted_split
from packhorse.names import Release
from tests.functions.release.conftest import NOW

ONE, TWO, THREE = (Release("magika", version) for version in (1, 2, 3))


def test_callers_meet_the_candidate_in_small_numbers_when_ring_1_opens(opened):
    percent = opening_percent(opened, is_stable_served=True)
    wider = rollout.open_wider(opened, rings=(0, 1), traffic_percent=percent, at=NOW)

    assert wanted_split(wider, [ONE, TWO]) == {ONE: 95, TWO: 5}


def test_a_first_release_answers_everybody_at_once(waiting):
    percent = opening_percent(waiting, is_stable_served=False)
    opened = rollout.open_wider(waiting, rings=(0, 1), traffic_percent=percent, at=NOW)

    assert percent == 100
    assert wanted_split(opened, [ONE]) == {ONE: 100}


def test_a_stable_release_that_is_not_served_leaves_everything_to_the_candidate(opened):
    assert opening_percent(opened, is_stable_served=False) == 100
    wider = rollout.open_wider(opened, rings=(0, 1), traffic_percent=5, at=NOW)
    assert wanted_split(wider, [TWO]) == {TWO: 100}


def test_no_caller_meets_the_candidate_while_only_ring_0_is_open(opened):
    assert wanted_split(opened, [ONE, TWO]) == {ONE: 100}


def test_after_the_rollout_the_new_release_answers_everybody(upgraded):
    assert wanted_split(upgraded, [ONE, TWO]) == {TWO: 100}


def test_a_withdrawn_candidate_answers_nobody(opened):
    wider = rollout.open_wider(opened, rings=(0, 1), traffic_percent=5, at=NOW)
    withdrawn = rollout.withdraw(wider, TWO, reason="it failed")

    assert wanted_split(withdrawn, [ONE, TWO]) == {ONE: 100}


def test_a_withdrawn_stable_release_gives_way_to_the_one_before(upgraded):
    withdrawn = rollout.withdraw(upgraded, TWO, reason="wrong")

    assert wanted_split(withdrawn, [ONE, TWO]) == {ONE: 100}


def test_nothing_served_means_no_split_at_all(waiting, opened):
    assert wanted_split(waiting, []) == {}
    assert wanted_split(opened, []) == {}
    wider = rollout.open_wider(opened, rings=(0, 1), traffic_percent=5, at=NOW)
    assert wanted_split(wider, [ONE]) == {ONE: 100}


def test_what_nobody_may_need_again_is_undeployed(upgraded, offer):
    begun = rollout.begin(upgraded, offer(3), at=NOW)
    finished = rollout.finish(begun)

    assert unneeded(begun, [ONE, TWO, THREE]) == ()
    assert unneeded(finished, [ONE, TWO, THREE]) == (ONE,)
