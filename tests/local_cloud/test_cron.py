"""When a schedule is due."""

from datetime import UTC, datetime

import pytest

from local_cloud.cron import parse_schedule

# A Wednesday.
AT = datetime(2026, 7, 15, 10, 30, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "2026-07-15 10:31"),
        ("*/15 * * * *", "2026-07-15 10:45"),
        ("30 * * * *", "2026-07-15 11:30"),
        ("0 3 * * *", "2026-07-16 03:00"),
        ("5,35 9-17/4 * * *", "2026-07-15 13:05"),
        ("0 0 1 * *", "2026-08-01 00:00"),
        ("0 0 1 1 *", "2027-01-01 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 12 * * 5", "2026-07-17 12:00"),
        ("0 12 * * 0", "2026-07-19 12:00"),
        ("0 12 * * 7", "2026-07-19 12:00"),
        ("0 12 20 * 5", "2026-07-17 12:00"),
        ("0 12 16 * 5", "2026-07-16 12:00"),
    ],
)
def test_the_next_due_minute_follows(text, expected):
    found = parse_schedule(text).next_after(AT)

    assert found.strftime("%Y-%m-%d %H:%M") == expected


def test_a_due_minute_is_followed_by_another():
    schedule = parse_schedule("*/20 * * * *")
    first = schedule.next_after(AT)

    assert (schedule.next_after(first) - first).total_seconds() == 20 * 60


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "5/10 * * * *",
        "* * * JAN *",
        "every minute",
        "-1 * * * *",
    ],
)
def test_what_is_no_schedule_is_refused(text):
    with pytest.raises(ValueError, match="schedule"):
        parse_schedule(text)


def test_a_day_that_never_comes_is_an_error():
    with pytest.raises(ValueError, match="never due"):
        parse_schedule("0 0 30 2 *").next_after(AT)
