"""The time of day as HTTP writes it.

The names are English whatever the machine speaks; `email.utils` says the same, and
takes a quarter of a MiB of every process.

Source: RFC 9110, 5.6.7
"""

import time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


def http_date(at_s: float) -> str:
    """Return an instant, in seconds since 1970, as `Sun, 06 Nov 1994 08:49:37 GMT`."""
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(at_s)
    return (
        f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04}"
        f" {hour:02}:{minute:02}:{second:02} GMT"
    )
