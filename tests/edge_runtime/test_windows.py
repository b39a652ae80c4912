"""When a site lets itself be changed."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import SettingsError
from edge_runtime.windows import DAYS, WINDOWS_MAX, Windows, parse_windows

NAME = "PACKHORSE_WINDOW"
NIGHTS = "Mon-Fri 22:00-05:00, Sat-Sun 00:00-24:00"


def at(day, time):
    """Return a moment of the week of Monday, 2 November 2026."""
    hour, minute = map(int, time.split(":"))
    return datetime(2026, 11, 2 + DAYS.index(day), hour, minute)  # noqa: DTZ001 - a wall's


@pytest.mark.parametrize(
    ("day", "time", "is_open"),
    [
        ("Mon", "21:59", False),
        ("Mon", "22:00", True),
        ("Tue", "00:00", True),
        ("Tue", "04:59", True),
        ("Tue", "05:00", False),
        ("Fri", "23:00", True),
        ("Sat", "12:00", True),
        ("Sun", "23:59", True),
        ("Mon", "00:00", False),
    ],
)
def test_a_window_opens_and_closes_to_the_minute_and_crosses_midnight(
    day, time, is_open
):
    assert parse_windows(NAME, NIGHTS).is_open(at(day, time)) is is_open


def test_a_window_of_sunday_night_lasts_into_monday():
    windows = parse_windows(NAME, "Sun 22:00-05:00")
    assert windows.is_open(at("Sun", "22:00"))
    assert windows.is_open(at("Mon", "04:59"))
    assert not windows.is_open(at("Mon", "22:00"))


def test_days_may_go_over_the_weeks_end():
    windows = parse_windows(NAME, "Sat-Mon 01:00-02:00")
    opened = [day for day in DAYS if windows.is_open(at(day, "01:30"))]
    assert opened == ["Mon", "Sat", "Sun"]


def test_a_window_without_days_is_one_of_every_day():
    windows = parse_windows(NAME, "01:30-04:00")
    assert all(windows.is_open(at(day, "03:59")) for day in DAYS)
    assert not any(windows.is_open(at(day, "04:00")) for day in DAYS)


def test_without_any_window_it_is_always_open():
    assert Windows().is_open(at("Wed", "12:00"))
    assert parse_windows(NAME, "").is_open(at("Wed", "12:00"))


@pytest.mark.parametrize(
    "text",
    [
        "always",
        "Mon 22:00",
        "Mon-Fri 22:00-05:00,",
        "Mon 22:00-22:00",
        "Mon 24:00-05:00",
        "Mon 22:60-23:00",
        "Mon 22:00-24:01",
        "Mo 22:00-23:00",
        "Mon  22:00-23:00",
        "Mon-Fri-Sun 22:00-23:00",
        "Mon \uff12\uff12:00-23:00",
        ", ".join(["01:00-02:00"] * (WINDOWS_MAX + 1)),
    ],
)
def test_what_is_no_window_is_refused_by_its_settings_name(text):
    with pytest.raises(SettingsError, match=NAME):
        parse_windows(NAME, text)


@given(
    day=st.sampled_from(DAYS),
    begin=st.integers(0, 1439),
    length=st.integers(1, 1439),
    probe=st.integers(0, 7 * 1440 - 1),
)
def test_a_window_is_open_for_just_its_length(day, begin, length, probe):
    end = (begin + length) % 1440
    text = f"{day} {begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    moment = at(DAYS[probe // 1440], f"{probe % 1440 // 60}:{probe % 60}")

    since = (probe - DAYS.index(day) * 1440 - begin) % (7 * 1440)

    assert parse_windows(NAME, text).is_open(moment) is (since < length)
