"""What a site may forbid, and that a withdrawal asks nobody."""

import shlex
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edge_runtime.agent.clock import Clock
from edge_runtime.agent.errors import WaitError
from edge_runtime.agent.machine import Stage
from edge_runtime.agent.memory import Deployment
from edge_runtime.agent.site import Site
from edge_runtime.hold import lift_hold, place_hold
from edge_runtime.settings.site_settings import SiteSettings, site_settings
from packhorse.assignment import BundleRef
from tests.edge_runtime.agent.bundles import release

NOON = datetime(2026, 11, 4, 12, 0, tzinfo=UTC)
"""A Wednesday."""
EVERY_STAGE = [Stage.PULL, Stage.VERIFY, Stage.INSTALL, Stage.TRY, Stage.SWITCH]


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def deployment(stage, **changes):
    at = Deployment(
        release=release(2),
        variant="fp32",
        bundle=BundleRef("bundles/magika/2/fp32.tar", 10, "a" * 64),
        rollout_id="magika@2#1",
        stage=stage,
        valid_until=NOON + timedelta(days=1),
    )
    return replace(at, **changes)


@pytest.fixture
def site(state_dir):
    def make(*, now=NOON, **values):
        clock = Clock(state_dir, wall_time=lambda: now, is_synchronised=lambda: False)
        return Site(state_dir, site_settings(values), clock)

    return make


def shell(script):
    return f"/bin/sh -c {shlex.quote(script)}"


def waits(site, *, stages=EVERY_STAGE, **changes):
    """Return the stages that may not be run now, and why."""
    found = {}
    for stage in stages:
        try:
            site.check(deployment(stage, **changes))
        except WaitError as error:
            found[stage] = error
    return found


def test_a_site_that_says_nothing_forbids_nothing(site):
    assert waits(site()) == {}


def test_outside_its_window_a_release_is_neither_pulled_installed_tried_nor_served(
    site,
):
    closed = waits(site(PACKHORSE_WINDOW="22:00-05:00"))
    assert set(closed) == {Stage.PULL, Stage.INSTALL, Stage.TRY, Stage.SWITCH}
    assert (
        str(closed[Stage.TRY]) == "it is not the time of PACKHORSE_WINDOW: 22:00-05:00"
    )


def test_inside_its_window_it_is(site):
    assert waits(site(PACKHORSE_WINDOW="Wed 12:00-12:01")) == {}


def test_downloads_may_have_a_window_of_their_own(site):
    settings = {
        "PACKHORSE_WINDOW": "22:00-05:00",
        "PACKHORSE_DOWNLOAD_WINDOW": "00:00-24:00",
    }
    assert set(waits(site(**settings))) == {Stage.INSTALL, Stage.TRY, Stage.SWITCH}


def test_a_window_is_one_of_the_walls_own_time(site, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")  # noon in Greenwich is 21:00 there
    time.tzset()
    assert waits(site(PACKHORSE_WINDOW="Wed 20:30-21:30")) == {}
    assert waits(site(PACKHORSE_WINDOW="Wed 11:30-12:30"))


def test_a_clock_that_is_known_to_be_wrong_is_in_no_window(site, state_dir):
    Clock(state_dir, is_synchronised=lambda: False).note(NOON)
    in_1970 = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)

    wrong = waits(site(now=in_1970, PACKHORSE_WINDOW="00:00-24:00"))

    assert "clock is wrong" in str(wrong[Stage.SWITCH])
    assert waits(site(now=in_1970)) == {}


@pytest.mark.parametrize("reason", ["", "press line in trial until Friday"])
def test_a_hold_stops_every_stage_and_says_why(site, state_dir, reason):
    place_hold(state_dir, reason)
    held = waits(site())
    assert set(held) == set(EVERY_STAGE)
    assert all(error.is_hold for error in held.values())
    assert str(held[Stage.PULL]) == f"held at the gateway{reason and ': '}{reason}"
    lift_hold(state_dir)
    assert waits(site()) == {}


@pytest.mark.parametrize(
    ("setting", "stage"),
    [
        ("PACKHORSE_MAY_DOWNLOAD", Stage.PULL),
        ("PACKHORSE_MAY_SWITCH", Stage.SWITCH),
    ],
)
def test_a_commands_no_holds_up_its_stage_and_no_other(site, setting, stage):
    assert waits(site(**{setting: shell("exit 0")})) == {}

    said = waits(site(**{setting: shell("echo on a metered line; exit 1")}))

    assert set(said) == {stage}
    assert str(said[stage]) == f"{setting} exited with 1: on a metered line"
    assert said[stage].kind == f"{setting} says no"


@pytest.mark.parametrize("script", ["exit 2", "kill -SEGV $$", "sleep 60"])
def test_a_command_that_fails_is_no_yes_and_told_apart_from_a_no(site, script):
    settings = {"PACKHORSE_MAY_SWITCH": shell(script), "PACKHORSE_HOOK_S": "0.3"}
    said = waits(site(**settings), stages=[Stage.SWITCH])
    assert said[Stage.SWITCH].kind == "PACKHORSE_MAY_SWITCH failed"


def test_a_withdrawal_asks_nobody(site, state_dir):
    place_hold(state_dir, "")
    no = shell("exit 1")
    strict = site(
        PACKHORSE_WINDOW="22:00-05:00",
        PACKHORSE_MAY_DOWNLOAD=no,
        PACKHORSE_MAY_SWITCH=no,
        PACKHORSE_BEFORE_SWITCH=no,
        PACKHORSE_AFTER_SWITCH=no,
    )
    order = deployment(Stage.SWITCH, is_withdrawal=True)

    assert waits(strict, is_withdrawal=True) == {}
    strict.before_switch(order, release(1))
    assert strict.after_switch(order, release(2), release(1)) == ""


def test_scripts_learn_what_is_switched(site, tmp_path):
    seen = tmp_path / "seen"
    tell = shell(f'echo "$PACKHORSE_RELEASE after $PACKHORSE_FORMER_RELEASE" >> {seen}')
    told = site(PACKHORSE_BEFORE_SWITCH=tell, PACKHORSE_AFTER_SWITCH=tell, PATH="/bin")

    told.before_switch(deployment(Stage.SWITCH), release(1))
    told.after_switch(deployment(Stage.SWITCH), release(2), None)

    assert seen.read_text() == "magika@2 after magika@1\nmagika@2 after \n"


def test_a_script_before_the_switch_that_fails_puts_it_off(site):
    script = shell("echo still running; exit 3")
    with pytest.raises(WaitError, match="exited with 3: still running"):
        site(PACKHORSE_BEFORE_SWITCH=script).before_switch(
            deployment(Stage.SWITCH), None
        )


def test_no_token_is_in_a_commands_environment():
    values = {
        "PACKHORSE_ENROLL_TOKEN": "secret",
        "PACKHORSE_TOKEN_FILE": "/etc/packhorse/token",
        "PACKHORSE_DEVICE": "gateway-1",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "PATH": "/bin",
    }
    passed = site_settings(values).environment
    assert dict(passed) == {"PATH": "/bin", "PACKHORSE_DEVICE": "gateway-1"}


def test_who_sets_nothing_gets_the_defaults():
    assert site_settings({}) == SiteSettings()
