"""Time has a floor, which no boot in 1970 goes behind."""

from datetime import UTC, datetime, timedelta

import pytest

from edge_runtime.agent import clock as clock_module
from edge_runtime.agent.clock import (
    OLDEST_BUILD,
    Clock,
    built_at,
    is_synchronised,
)

BOOT = datetime(1970, 1, 1, tzinfo=UTC)
TODAY = datetime(2026, 11, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def clock_at(tmp_path):
    def clock_at(wall_time, *, is_synchronised=False):
        return Clock(
            tmp_path,
            wall_time=lambda: wall_time,
            is_synchronised=lambda: is_synchronised,
            built_at=lambda: OLDEST_BUILD,
        )

    return clock_at


def test_a_gateway_that_boots_in_1970_lives_after_its_software_was_built(clock_at):
    clock = clock_at(BOOT)

    assert clock.now() == OLDEST_BUILD
    assert clock.is_wrong


def test_a_clock_that_runs_right_is_believed(clock_at):
    clock = clock_at(TODAY)

    assert clock.now() == TODAY
    assert not clock.is_wrong


def test_an_instant_that_was_noted_is_past_after_every_boot(clock_at):
    clock_at(BOOT).note(TODAY)

    assert clock_at(BOOT).now() == TODAY


def test_a_floor_is_never_lowered_by_a_note(clock_at):
    clock_at(BOOT).note(TODAY)
    clock_at(BOOT).note(TODAY - HOUR)

    assert clock_at(BOOT).floor == TODAY


def test_of_two_who_note_the_later_instant_stays(clock_at):
    early = clock_at(BOOT)
    clock_at(BOOT).note(TODAY)

    early.note(TODAY - HOUR)

    assert clock_at(BOOT).floor == early.floor == TODAY


def test_a_clock_that_is_synchronised_raises_the_floor(clock_at):
    clock_at(TODAY, is_synchronised=True).now()

    assert clock_at(BOOT).now() == TODAY


def test_a_clock_that_is_not_synchronised_does_not(clock_at):
    clock_at(TODAY).now()

    assert clock_at(BOOT).now() == OLDEST_BUILD


def test_a_running_clock_is_written_down_once_an_hour(clock_at, tmp_path):
    clock_at(BOOT).note(TODAY)
    before = (tmp_path / "clock.json").stat().st_ino

    clock_at(TODAY + HOUR / 2, is_synchronised=True).now()
    assert (tmp_path / "clock.json").stat().st_ino == before

    clock_at(TODAY + HOUR, is_synchronised=True).now()
    assert clock_at(BOOT).floor == TODAY + HOUR


def test_what_was_noted_can_be_forgotten_but_not_the_build(clock_at):
    clock = clock_at(BOOT)
    clock.note(TODAY)

    clock.forget()

    assert clock.now() == clock_at(BOOT).now() == OLDEST_BUILD


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"floor": 7}',
        b'{"floor": "yesterday"}',
        b'{"floor": "0001-01-01T00:00:00+14:00"}',
        b" " * 5_000,
    ],
)
def test_a_file_that_is_broken_is_as_good_as_none(clock_at, tmp_path, body):
    (tmp_path / "clock.json").write_bytes(body)

    assert clock_at(BOOT).now() == OLDEST_BUILD


def test_the_last_floor_that_there_can_be_still_tells_the_time(clock_at):
    clock = clock_at(TODAY, is_synchronised=True)
    clock.note(datetime.max.replace(tzinfo=UTC))

    assert clock.now() == datetime.max.replace(tzinfo=UTC)


def test_whoever_asks_for_the_time_is_told_it_on_a_disk_that_refuses(
    clock_at, tmp_path
):
    # Where the file belongs stands something that no rename replaces.
    (tmp_path / "clock.json").mkdir()

    assert clock_at(TODAY, is_synchronised=True).now() == TODAY


def test_the_floor_of_a_build_stands_in_the_package(tmp_path, monkeypatch):
    file = tmp_path / "built_at.txt"
    monkeypatch.setattr(clock_module, "_BUILT_AT_FILE", file)
    assert built_at() == OLDEST_BUILD

    file.write_text(f"{TODAY.timestamp():.0f}\n")
    assert built_at() == TODAY

    file.write_text("soon")
    assert built_at() == OLDEST_BUILD


def test_the_kernel_can_be_asked_whether_the_clock_is_synchronised():
    assert is_synchronised() in {True, False}
