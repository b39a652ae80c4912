"""What follows what in a deployment."""

import itertools

import pytest

from edge_runtime.agent.machine import TABLE, Event, Stage, advance
from packhorse.report import DeviceState

RUNNING = [stage for stage in Stage if stage is not Stage.IDLE]


def test_a_release_that_is_offered_travels_every_stage_and_serves():
    step = advance(Stage.IDLE, Event.OFFERED)
    stages, reports = [step.stage], []
    while step.stage is not Stage.IDLE:
        step = advance(step.stage, Event.DONE)
        stages.append(step.stage)
        reports.append(step.report)

    assert stages == [*RUNNING, Stage.IDLE]
    assert [r for r in reports if r] == [
        DeviceState.DOWNLOADED,
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
    assert advance(stage, Event.DAMAGED).stage is Stage.PULL


@pytest.mark.parametrize("stage", RUNNING)
def test_what_is_superseded_ends_without_a_word(stage):
    step = advance(stage, Event.SUPERSEDED)
    assert (step.stage, step.report) == (Stage.IDLE, None)


def test_a_supervisor_that_went_back_is_reported():
    assert advance(Stage.IDLE, Event.FELL_BACK).report is DeviceState.ROLLED_BACK


def test_every_other_pair_is_a_mistake_of_the_caller():
    others = set(itertools.product(Stage, Event)) - set(TABLE)
    assert others
    for stage, event in others:
        with pytest.raises(AssertionError, match="cannot happen"):
            advance(stage, event)
