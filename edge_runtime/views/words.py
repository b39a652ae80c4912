"""Numbers as people say them, for the status page."""

from datetime import UTC, datetime

NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""

_SECOND_MS, _MICRO_MS = 1000.0, 0.1
_SECONDS_FROM_MS = 999.5
"""From here on it would be written as 1,000 ms."""

_TENTHS_BELOW = 10.0
_BYTES_STEP = 1024.0


def duration_words(seconds: float) -> str:
    """Write a time: two units, the largest first."""
    minutes, hours, days = (int(seconds // unit_s) for unit_s in (60, 3600, 86_400))
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    if minutes:
        return f"{minutes} min {int(seconds) % 60} s"
    return f"{int(seconds)} s"


def ago_words(seconds: float) -> str:
    """Write how long ago something was: one unit, since it moves on anyway."""
    if seconds < 1:
        return "just now"
    number, unit = duration_words(seconds).split()[:2]
    return f"{number} {unit} ago"


def ms_words(value_ms: float) -> str:
    """Write a short time with two digits that count: 38 µs, 0.42 ms, 12 ms, 1.3 s."""
    if value_ms >= _SECONDS_FROM_MS:
        return f"{_two_digits(value_ms / _SECOND_MS)} s"
    if value_ms < _MICRO_MS:
        return f"{_two_digits(value_ms * _SECOND_MS)} µs"
    return f"{_two_digits(value_ms)} ms"


def rate_words(per_s: float) -> str:
    """Write how often something happens."""
    return f"{_two_digits(per_s)}/s"


def count_words(count: int) -> str:
    """Write a count in groups of three digits."""
    return f"{count:,}"


def bytes_words(size: float) -> str:
    """Write a size in memory."""
    for unit in ("B", "KiB", "MiB"):
        if size < _BYTES_STEP:
            return f"{_two_digits(size)} {unit}"
        size /= _BYTES_STEP
    return f"{_two_digits(size)} GiB"


def day_words(at_s: float) -> str:
    """Write a moment's day, in UTC."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"


def clock_words(at_s: float) -> str:
    """Write a moment's time of day, in UTC."""
    return f"{datetime.fromtimestamp(at_s, UTC):%H:%M:%S}"


def shape_words(shape: tuple[int, ...]) -> str:
    """Write a tensor's shape."""
    return f"[{', '.join(map(str, shape))}]"


def _two_digits(value: float) -> str:
    """Write at least two digits that count, and no tenths of large numbers."""
    if value >= _TENTHS_BELOW:
        return count_words(round(value))
    if value >= 1.0:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2g}"
