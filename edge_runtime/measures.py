"""What is measured of each model: how it answered, and what that took.

Measured on the event loop's thread only, so no count is ever lost to another
and nothing here takes a lock. Several processes' measures are summed by
`ModelMeasures.merge` over what `to_plain` wrote.

Source: Prometheus, "Histograms and summaries"; a bucket's bound is inclusive
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Self, TypedDict, TypeVar

from edge_runtime.latency import PlainSlot, RecentTimes

SECONDS_BOUNDS: Final = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025),
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""From one tiny model's run, 10 µs, to the longest deadline people set."""

ROWS_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
AHEAD_BOUNDS: Final = (0.0, *ROWS_BOUNDS)

OUTCOMES: Final = (
    *("ok", "malformed", "too_large", "overloaded"),
    *("late", "model_failed", "stopped"),
)
"""How a request can end; each is counted from the start, if only as 0."""

_Key = TypeVar("_Key")


class PlainHistogram(TypedDict):
    """A histogram as one process sends it to another."""

    counts: list[int]
    total: float


class PlainMeasures(TypedDict):
    """A model's measures as one process sends them to another; JSON can hold it."""

    requests: dict[str, int]
    queue_s: PlainHistogram
    compute_s: PlainHistogram
    batch_rows: PlainHistogram
    batches_ahead: PlainHistogram
    rows: int
    last_at_s: float
    recent_ms: list[PlainSlot]


@dataclass(slots=True)
class Histogram:
    """How often which value came.

    Attributes:
        bounds: Upper ends of the buckets, ascending, each within its bucket.
        counts: How many values came per bucket; the last is for what is larger.
        total: Sum of all values.
    """

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        """Begin with empty buckets."""
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value; a quarter of a microsecond."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Return how many values came."""
        return sum(self.counts)

    def cumulative(self) -> list[int]:
        """Return per bound, and at last for infinity, how many were not above it."""
        return list(accumulate(self.counts))

    def to_plain(self) -> PlainHistogram:
        """Return what another process needs; the bounds are the same everywhere."""
        return {"counts": list(self.counts), "total": self.total}

    def merge(self, plain: PlainHistogram) -> None:
        """Add another process's values.

        Raises:
            ValueError: It has other buckets.
        """
        pairs = zip(self.counts, plain["counts"], strict=True)
        self.counts = [ours + theirs for ours, theirs in pairs]
        self.total += plain["total"]


def _seconds() -> Histogram:
    return Histogram(SECONDS_BOUNDS)


@dataclass(slots=True)
class ModelMeasures:
    """What is measured of one version of one model.

    Attributes:
        requests: How many requests ended how; the keys are `OUTCOMES`.
        queue_s: From a request's arrival to the start of its run.
        compute_s: Of a run, whatever number of requests it answers.
        batch_rows: Rows of a run.
        batches_ahead: Batches that stood before a request when it was accepted.
        rows: Rows answered.
        last_at_s: Unix time of the last answer, 0 before the first.
        recent_ms: Takes the Unix time and the milliseconds of each answer.
    """

    requests: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    queue_s: Histogram = field(default_factory=_seconds)
    compute_s: Histogram = field(default_factory=_seconds)
    batch_rows: Histogram = field(default_factory=lambda: Histogram(ROWS_BOUNDS))
    batches_ahead: Histogram = field(default_factory=lambda: Histogram(AHEAD_BOUNDS))
    rows: int = 0
    last_at_s: float = 0.0
    recent_ms: RecentTimes = field(default_factory=RecentTimes)

    def to_plain(self) -> PlainMeasures:
        """Return what another process needs to add these to its own."""
        return {
            "requests": dict(self.requests),
            "queue_s": self.queue_s.to_plain(),
            "compute_s": self.compute_s.to_plain(),
            "batch_rows": self.batch_rows.to_plain(),
            "batches_ahead": self.batches_ahead.to_plain(),
            "rows": self.rows,
            "last_at_s": self.last_at_s,
            "recent_ms": self.recent_ms.to_plain(),
        }

    def merge(self, plain: PlainMeasures) -> None:
        """Add another process's measures of the same model.

        Raises:
            ValueError: They were measured with other buckets.
        """
        self.queue_s.merge(plain["queue_s"])
        self.compute_s.merge(plain["compute_s"])
        self.batch_rows.merge(plain["batch_rows"])
        self.batches_ahead.merge(plain["batches_ahead"])
        add_counts(self.requests, plain["requests"])
        self.rows += plain["rows"]
        self.last_at_s = max(self.last_at_s, plain["last_at_s"])
        self.recent_ms.merge(plain["recent_ms"])

    @classmethod
    def merged(cls, plains: Iterable[PlainMeasures]) -> Self:
        """Return the sum of several processes' measures of one model."""
        measures = cls()
        for plain in plains:
            measures.merge(plain)
        return measures


def add_counts(counts: dict[_Key, int], others: Mapping[_Key, int]) -> None:
    """Add `others` to `counts` in place."""
    for key, count in others.items():
        counts[key] = counts.get(key, 0) + count
