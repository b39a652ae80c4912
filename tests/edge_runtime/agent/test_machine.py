"""What follows what in a deployment."""

import itertools

import pytest

from edge_runtime.agent.machine import TABLE, Event, Stage, advance
from packhorse.report import DeviceState

RUNNING = [stage for stage in Stage if stage is not Stage.IDLE]


def test_a_release_that_is_offered_travels_every_stage_and_serves():
    step = advance(Stage.IDLE, Event.OFFERED)
    stages, reports = [step.stage], [step.report]
    while step.stage is not Stage.IDLE:
        step = advance(step.stage, Event.DONE)
        stages.append(step.stage)
        reports.append(step.report)

    assert stages == [*RUNNING, Stage.IDLE]
    assert reports == [
        DeviceState.OFFERED,
        DeviceState.DOWNLOADED,
        DeviceState.VERIFIED,
        DeviceState.INSTALLED,
        DeviceState.TRIED,
        DeviceState.SERVING,
    ]


def test_a_release_at_hand_is_tried_before_it_serves():
    assert advance(Stage.IDLE, Event.AT_HAND).stage is Stage.TRY


def test_a_release_that_has_served_here_serves_again_at_once():
    assert advance(Stage.IDLE, Event.PROVEN).stage is Stage.SWITCH


@pytest.mark.parametrize("stage", RUNNING)
def test_a_refusal_ends_the_deployment_and_is_reported(stage):
    step = advance(stage, Event.REFUSED)
    assert (step.stage, step.report) == (Stage.IDLE, DeviceState.REFUSED)


@pytest.mark.parametrize("stage", RUNNING)
def test_a_failure_is_tried_again_and_reported_only_when_it_lasts(stage):
    assert advance(stage, Event.FAILED).report is None
    assert advance(stage, Event.FAILED).stage is stage
    assert advance(stage, Event.EXHAUSTED).stage is stage
    assert advance(stage, Event.EXHAUSTED).report is DeviceState.FAILED


@pytest.mark.parametrize("stage", RUNNING)
def test_damage_sends_a_deployment_back_to_the_pull(stage):
    step = advance(stage, Event.DAMAGED)
    assert (step.stage, step.report) == (Stage.PULL, DeviceState.DAMAGED)


@pytest.mark.parametrize("stage", RUNNING)
@pytest.mark.parametrize(
    ("event", "report"),
    [(Event.WAITING, DeviceState.WAITING), (Event.HELD, DeviceState.HELD)],
)
def test_what_waits_stays_where_it_is_and_says_so(stage, event, report):
    step = advance(stage, event)
    assert (step.stage, step.report) == (stage, report)


@pytest.mark.parametrize("stage", RUNNING)
def test_what_is_superseded_ends_and_is_reported(stage):
    step = advance(stage, Event.SUPERSEDED)
    assert (step.stage, step.report) == (Stage.IDLE, DeviceState.SUPERSEDED)


def test_every_change_of_a_deployments_state_is_reported():
    silent = {key for key, step in TABLE.items() if step.report is None}
    assert silent == {(stage, Event.FAILED) for stage in RUNNING}
    assert all(TABLE[key].stage is key[0] for key in silent)


def test_a_release_that_served_and_was_left_again_is_reported():
    step = advance(Stage.SWITCH, Event.FELL_BACK)
    assert (step.stage, step.report) == (Stage.IDLE, DeviceState.ROLLED_BACK)


def test_a_supervisor_that_went_back_is_reported():
    assert advance(Stage.IDLE, Event.FELL_BACK).report is DeviceState.ROLLED_BACK


def test_every_other_pair_is_a_mistake_of_the_caller():
    others = set(itertools.product(Stage, Event)) - set(TABLE)
    assert others
    for stage, event in others:
        with pytest.raises(AssertionError, match="cannot happen"):
            advance(stage, event)
