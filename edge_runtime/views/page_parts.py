"""The parts of the status page, every number already in words."""

from dataclasses import dataclass

from edge_runtime.views.chart import Chart


@dataclass(frozen=True, slots=True)
class Fact:
    """One number with its name, and a smaller line below it."""

    name: str
    value: str
    note: str = ""
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model in the table of models."""

    release: str
    state: str
    tone: str
    reason: str
    note: str
    requests: str
    rate: str
    errors: str
    p50: str
    p99: str
    queue: str
    compute: str
    batch: str
    last: str


@dataclass(frozen=True, slots=True)
class ModelChart:
    """One model's chart."""

    release: str
    chart: Chart


@dataclass(frozen=True, slots=True)
class PredictionLine:
    """One answered request."""

    at: str
    ago: str
    release: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    classes: str
    took: str


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """One answer that was no success."""

    at: str
    ago: str
    status: int
    phrase: str
    route: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class RouteLine:
    """One route's answers with one status; `route` is empty where it repeats."""

    route: str
    status: int
    is_error: bool
    count: str
    mean: str


@dataclass(frozen=True, slots=True)
class Page:
    """What the template shows."""

    title: str
    release: str
    is_ready: bool
    reason: str
    day: str
    clock: str
    refresh_s: int
    facts: tuple[Fact, ...]
    models: tuple[ModelLine, ...]
    charts: tuple[ModelChart, ...]
    has_more_charts: bool
    predictions: tuple[PredictionLine, ...]
    predictions_kept: int
    errors: tuple[ErrorLine, ...]
    routes: tuple[RouteLine, ...]
