"""When this site lets itself be changed: windows of local wall time.

    Mon-Fri 22:00-05:00, Sat-Sun 00:00-24:00
    01:30-04:00                                     every day

A window belongs to the day on which it opens; one that ends before it begins ends
on the next day. Pure: the moment is given. It is the time on the wall that counts:
where the clock jumps an hour for summer, the hour that is left out has no window,
and the one that comes twice has it twice.

Source: docs/run-a-gateway.md, "When it may change"
"""

import re
from dataclasses import dataclass
from datetime import datetime

from edge_runtime.errors import SettingsError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

WINDOWS_MAX = 32
"""More than four a day is a mistake, and each is looked at every second."""

_DAY_MIN = 24 * 60
_WEEK_MIN = 7 * _DAY_MIN
_DAY = "|".join(DAYS)
_WINDOW = re.compile(
    rf"(?:(?P<first>{_DAY})(?:-(?P<last>{_DAY}))? )?"
    r"(?P<begin>[0-9]{2}:[0-9]{2})-(?P<end>[0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class Windows:
    """When something may be done; without any window, always.

    Attributes:
        text: As a person wrote them.
        spans: Minutes since Monday 00:00, begin and end; an end may lie beyond
            the week.
    """

    text: str = ""
    spans: tuple[tuple[int, int], ...] = ()

    def is_open(self, local: datetime) -> bool:
        """Say whether `local`, the time on the wall, lies in a window."""
        if not self.spans:
            return True
        minute = local.weekday() * _DAY_MIN + local.hour * 60 + local.minute
        return any(
            begin <= at < end
            for begin, end in self.spans
            for at in (minute, minute + _WEEK_MIN)
        )


def parse_windows(name: str, text: str) -> Windows:
    """Read the setting `name`.

    Raises:
        SettingsError: It is no list of windows.
    """
    parts = [part.strip() for part in text.split(",")] if text else []
    if len(parts) > WINDOWS_MAX:
        raise SettingsError(
            f"{name} may name {WINDOWS_MAX} windows, it names {len(parts)}"
        )
    spans = tuple(span for part in parts for span in _parse_window(name, part))
    return Windows(text, spans)


def _parse_window(name: str, text: str) -> list[tuple[int, int]]:
    """Return one span for each day on which this window opens."""
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise SettingsError(
            f"{name} must be windows as `Mon-Fri 22:00-05:00`, not {text[:80]!r}"
        )
    begin = _parse_minute(name, match["begin"])
    length = (_parse_minute(name, match["end"]) - begin) % _DAY_MIN or _DAY_MIN
    if begin == _DAY_MIN or (match["begin"] == match["end"]):
        raise SettingsError(f"{name}: a window must begin before it ends: {text!r}")
    return [
        (day * _DAY_MIN + begin, day * _DAY_MIN + begin + length)
        for day in _days(match["first"], match["last"])
    ]


def _parse_minute(name: str, text: str) -> int:
    hour, minute = int(text[:2]), int(text[3:])
    if minute > 59 or hour * 60 + minute > _DAY_MIN:  # noqa: PLR2004 - of an hour
        raise SettingsError(f"{name} must have times in 00:00..24:00, not {text!r}")
    return hour * 60 + minute


def _days(first: str | None, last: str | None) -> list[int]:
    """Return the days from `first` to `last`, over the week's end if need be."""
    if first is None:
        return list(range(len(DAYS)))
    begin = DAYS.index(first)
    count = (DAYS.index(last or first) - begin) % len(DAYS) + 1
    return [(begin + step) % len(DAYS) for step in range(count)]
