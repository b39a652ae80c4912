"""The latency chart of the status page: what is drawn, and the same in words.

Drawn on a plane of `WIDTH` by `HEIGHT` that the page stretches, so that lines
fit any screen and letters keep their size. Times are on a logarithmic axis: one
slow answer in a hundred is often a hundred times slower.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from edge_runtime.latency import SLOT_S, SLOTS_MAX, Slot, quantile_ms
from edge_runtime.views.words import clock_words, count_words, ms_words, rate_words

WIDTH, HEIGHT = 1000, 100
MEDIAN, LATE = 0.5, 0.99

_STEPS: Final = (1.0, 2.0, 5.0)
_LINES_MAX = 7
_SPAN_MIN = 4.0
"""The top of the time axis over its bottom, at least: noise is to look small."""
_TABLE_S = 60


@dataclass(frozen=True, slots=True)
class Mark:
    """A label on an axis, and where it stands in percent from the top or left."""

    at_percent: float
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One minute in numbers."""

    at: str
    count: str
    p50: str
    p99: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws.

    Attributes:
        p50_path: As are the others, an SVG path on the plane.
        band_path: The area between the two lines.
        rate_path: Bars that hang from the bottom of a plane of their own.
        summary: The chart in a sentence, for who cannot see it.
    """

    p50: str
    p99: str
    p50_path: str
    p99_path: str
    band_path: str
    rate_path: str
    rate_max: str
    time_marks: tuple[Mark, ...]
    ms_marks: tuple[Mark, ...]
    summary: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class _Point:
    """One slot on the plane."""

    number: int
    x: float
    p50_y: float
    p99_y: float


def draw_chart(slots: Sequence[Slot], now_s: float) -> Chart | None:
    """Draw the slots of the last quarter of an hour; None where there are none."""
    if not slots:
        return None
    last = int(now_s // SLOT_S)
    pairs = [(s.quantile_ms(MEDIAN), s.quantile_ms(LATE)) for s in slots]
    axis = _Axis.around(pairs)
    points = [_point(*both, last, axis) for both in zip(slots, pairs, strict=True)]
    runs = list(_runs(points))
    p50, p99, count = _overall(slots)
    rate_path, rate_max = _rates(slots, last)
    return Chart(
        p50=p50,
        p99=p99,
        p50_path=" ".join(_line([(p.x, p.p50_y) for p in run]) for run in runs),
        p99_path=" ".join(_line([(p.x, p.p99_y) for p in run]) for run in runs),
        band_path=" ".join(_band(run) for run in runs if len(run) > 1),
        rate_path=rate_path,
        rate_max=rate_max,
        time_marks=_time_marks(),
        ms_marks=axis.marks(),
        summary=_summary(p50, p99, count),
        rows=tuple(_rows(slots)),
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """The logarithmic axis of time."""

    low_ms: float
    high_ms: float

    @classmethod
    def around(cls, pairs: Sequence[tuple[float, float]]) -> "_Axis":
        """Return an axis on which all of these have their place."""
        low_ms = _step_below(min(min(pair) for pair in pairs))
        high_ms = _step_above(max(max(pair) for pair in pairs))
        return cls(low_ms, max(high_ms, _step_above(low_ms * _SPAN_MIN)))

    def y(self, value_ms: float) -> float:
        """Return the height of a time, counted from the top of the plane."""
        share = math.log(value_ms / self.low_ms) / math.log(self.high_ms / self.low_ms)
        return HEIGHT * (1.0 - share)

    def marks(self) -> tuple[Mark, ...]:
        """Return labels at round times, not too many."""
        steps = [ms for ms in _steps() if self.low_ms <= ms <= self.high_ms * 1.001]
        if len(steps) > _LINES_MAX:
            steps = [ms for ms in steps if math.log10(ms) % 1 in (0.0, 1.0)]
        return tuple(Mark(self.y(ms), ms_words(ms)) for ms in steps)


def _steps() -> Iterator[float]:
    """Yield round times in milliseconds, up to more than an hour."""
    for exponent in range(-4, 7):
        yield from (float(f"{step:g}e{exponent}") for step in _STEPS)


def _step_below(value_ms: float) -> float:
    return max((ms for ms in _steps() if ms <= value_ms), default=next(_steps()))


def _step_above(value_ms: float) -> float:
    return next(ms for ms in _steps() if ms >= value_ms)


def _point(slot: Slot, pair_ms: tuple[float, float], last: int, axis: _Axis) -> _Point:
    p50_ms, p99_ms = pair_ms
    return _Point(slot.number, _x(slot.number, last), axis.y(p50_ms), axis.y(p99_ms))


def _x(number: int, last: int) -> float:
    """Return where a slot's middle stands."""
    return WIDTH * (SLOTS_MAX - 1 - (last - number) + 0.5) / SLOTS_MAX


def _runs(points: Sequence[_Point]) -> Iterator[list[_Point]]:
    """Yield the points in stretches without a gap."""
    numbered = enumerate(points)
    for _, run in groupby(numbered, key=lambda pair: pair[1].number - pair[0]):
        yield [point for _, point in run]


def _line(places: Sequence[tuple[float, float]]) -> str:
    """Return a line; a single place becomes a dot."""
    corners = [f"{x:.1f} {y:.2f}" for x, y in places]
    if len(corners) == 1:
        return f"M{corners[0]}h0"
    return f"M{corners[0]}L" + " ".join(corners[1:])


def _band(run: Sequence[_Point]) -> str:
    upper = [(p.x, p.p99_y) for p in run]
    lower = [(p.x, p.p50_y) for p in reversed(run)]
    return f"{_line([*upper, *lower])}Z"


def _rates(slots: Sequence[Slot], last: int) -> tuple[str, str]:
    """Return bars of requests per second, and the height of the highest.

    The slot that is not over yet has none: it would always look low.
    """
    whole = [slot for slot in slots if slot.number < last]
    most = max((slot.count for slot in whole), default=0)
    half = 0.4 * WIDTH / SLOTS_MAX
    bars = [
        f"M{_x(slot.number, last) - half:.1f} {HEIGHT}"
        f"v{-HEIGHT * slot.count / most:.2f}h{2 * half:.1f}V{HEIGHT}z"
        for slot in whole
    ]
    return " ".join(bars), rate_words(most / SLOT_S) if whole else ""


def _time_marks() -> tuple[Mark, ...]:
    minutes = int(SLOT_S * SLOTS_MAX / 60)
    return tuple(
        Mark(
            100.0 * (1.0 - ago / minutes), f"\N{MINUS SIGN}{ago} min" if ago else "now"
        )
        for ago in range(minutes, -1, -5)
    )


def _overall(slots: Sequence[Slot]) -> tuple[str, str, int]:
    """Return the percentiles of all slots together, and how many answers."""
    counts = [sum(column) for column in zip(*(s.counts for s in slots), strict=True)]
    p50, p99 = quantile_ms(counts, MEDIAN), quantile_ms(counts, LATE)
    return ms_words(p50), ms_words(p99), sum(counts)


def _summary(p50: str, p99: str, count: int) -> str:
    return (
        f"Answers in the last quarter of an hour: {count_words(count)};"
        f" half of them came within {p50}, 99 in 100 within {p99}."
    )


def _rows(slots: Sequence[Slot]) -> Iterator[Row]:
    """Yield the chart minute by minute, the newest first."""
    by_minute = groupby(reversed(slots), key=lambda slot: slot.begin_s // _TABLE_S)
    for minute, group in by_minute:
        p50, p99, count = _overall(list(group))
        yield Row(clock_words(minute * _TABLE_S)[:5], count_words(count), p50, p99)
