"""When a schedule is due: the five fields of unix-cron, in UTC.

    minute 0-59   hour 0-23   day of month 1-31   month 1-12   day of week 0-7

Each is `*`, a number, a range `a-b`, a list of these with commas, or any of
these but a number with a step `/n`. Names of months and days are refused. When
both day fields are given, either of them makes a day due, as in unix-cron.

Source: cloud.google.com/scheduler/docs/configuring/cron-job-schedules
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_PART = re.compile(
    r"(\*|(?P<low>\d{1,2})(?:-(?P<high>\d{1,2}))?)(?:/(?P<step>\d{1,2}))?"
)
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_SEARCH_DAYS = 4 * 366 + 1
"""A day that does not come in four years (30 February) never comes."""


@dataclass(frozen=True, slots=True, order=True)
class Schedule:
    """The minutes at which something is due.

    Attributes:
        text: The schedule as written.
        minutes: Minutes of an hour; `hours`, `days`, `months` and `weekdays` likewise.
        weekdays: 0 is Sunday.
        needs_both: Whether a day must fit both day fields, since one of them is `*`.
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    needs_both: bool

    def next_after(self, at: datetime) -> datetime:
        """Return the first minute after `at` at which it is due.

        Raises:
            ValueError: There is none.
        """
        first = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for days in range(_SEARCH_DAYS):
            day = first + timedelta(days=days)
            if self._is_due_on(day):
                earliest = first if days == 0 else day.replace(hour=0, minute=0)
                found = self._first_on(earliest)
                if found is not None:
                    return found
        raise ValueError(f"schedule {self.text!r} is never due")

    def _is_due_on(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        in_month = day.day in self.days
        in_week = day.isoweekday() % 7 in self.weekdays
        return (in_month and in_week) if self.needs_both else (in_month or in_week)

    def _first_on(self, earliest: datetime) -> datetime | None:
        """Return the first due minute from `earliest` to the end of its day."""
        for hour in self.hours:
            for minute in self.minutes:
                if (hour, minute) >= (earliest.hour, earliest.minute):
                    return earliest.replace(hour=hour, minute=minute)
        return None


def parse_schedule(text: str) -> Schedule:
    """Read a schedule.

    Raises:
        ValueError: It is none.
    """
    fields = text.split()
    if len(fields) != len(_BOUNDS):
        raise ValueError(f"schedule {text!r}: expected five fields, got {len(fields)}")
    minutes, hours, days, months, weekdays = (
        _parse_field(text, field, low, high)
        for field, (low, high) in zip(fields, _BOUNDS, strict=True)
    )
    sundays_as_0 = tuple(sorted({day % 7 for day in weekdays}))
    needs_both = "*" in {fields[2], fields[4]}
    return Schedule(text, minutes, hours, days, months, sundays_as_0, needs_both)


def _parse_field(text: str, field: str, low: int, high: int) -> tuple[int, ...]:
    values: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None or (match["step"] and match["low"] and not match["high"]):
            raise ValueError(f"schedule {text!r}: cannot read {part!r}")
        begin = int(match["low"] or low)
        end = int(match["high"] or match["low"] or high)
        step = int(match["step"] or 1)
        if not low <= begin <= end <= high or step < 1:
            raise ValueError(
                f"schedule {text!r}: {part!r} is not within {low} to {high}"
            )
        values.update(range(begin, end + 1, step))
    return tuple(sorted(values))
