"""What the status page shows: everything in words, so that the template has none.

Source: WAI-ARIA, "img" role; the chart is told in a sentence and in a table
"""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus

from edge_runtime.counts import ERROR, SERVER_ERROR, ErrorAnswer
from edge_runtime.latency import SLOT_S, Slot
from edge_runtime.measures import Histogram
from edge_runtime.views.chart import Chart, draw_chart
from edge_runtime.views.page_parts import (
    ErrorLine,
    Fact,
    ModelChart,
    ModelLine,
    Page,
    PredictionLine,
    RouteLine,
)
from edge_runtime.views.server_view import ModelView, Prediction, ServerView, Shapes
from edge_runtime.views.words import (
    NOTHING,
    ago_words,
    bytes_words,
    clock_words,
    count_words,
    day_words,
    duration_words,
    ms_words,
    rate_words,
    shape_words,
)

REFRESH_S = 5
CHARTS_MAX = 6
"""A page with a chart of each of fifty models would be read by nobody."""

PREDICTIONS_SHOWN = 10
_RATE_SLOTS = 6
"""A minute: the requests per second that are told of now."""

_OUTCOMES = {
    "malformed": "refused as malformed",
    "too_large": "too large",
    "overloaded": "turned away, overloaded",
    "late": "too late",
    "model_failed": "the model failed",
    "stopped": "stopped, ran too long",
}


def build_page(view: ServerView, *, refresh_s: int = REFRESH_S) -> Page:
    """Return what the page of a server shows.

    Args:
        view: The server.
        refresh_s: Time after which the page loads itself again; 0 for never.
    """
    slots = {m.release: m.measures.recent_ms.slots(view.now_s) for m in view.models}
    drawn = {release: draw_chart(kept, view.now_s) for release, kept in slots.items()}
    charts = tuple(_charts(slots, drawn))
    return Page(
        title=_title(view),
        release=_heading(view),
        is_ready=view.is_ready,
        reason=view.reason,
        day=day_words(view.now_s),
        clock=clock_words(view.now_s),
        refresh_s=refresh_s,
        facts=tuple(_facts(view, slots)),
        models=tuple(_model_line(m, drawn[m.release], view) for m in view.models),
        charts=charts[:CHARTS_MAX],
        has_more_charts=len(charts) > CHARTS_MAX,
        predictions=tuple(
            _prediction_line(p, view.now_s)
            for p in view.predictions[:PREDICTIONS_SHOWN]
        ),
        predictions_kept=len(view.predictions),
        errors=tuple(
            _error_line(e, view.now_s) for e in reversed(list(view.counts.errors))
        ),
        routes=tuple(_routes(view)),
    )


def _title(view: ServerView) -> str:
    """Return the tab's title: what is wrong must be seen among many tabs."""
    heading = _heading(view)
    return heading if view.is_ready else f"NOT READY {heading}"


def _heading(view: ServerView) -> str:
    """Return what is served: the slot's release, else what the directory holds."""
    if view.release:
        return view.release
    if len(view.models) > 1:
        return f"{len(view.models)} models"
    return view.models[0].release if view.models else "No release"


def _facts(view: ServerView, slots: Mapping[str, list[Slot]]) -> Iterator[Fact]:
    """Yield what is told of the server as a whole."""
    of_all = [slot for kept in slots.values() for slot in kept]
    yield Fact("Requests answered", count_words(view.counts.total))
    yield Fact("In the last minute", _rate(of_all, view))
    yield Fact("Slot", view.slot or "none")
    yield Fact("Up for", duration_words(view.counts.uptime_s))
    yield _memory(view)
    yield _last_error(view)


def _memory(view: ServerView) -> Fact:
    count = view.process.count
    note = f"{count} processes" if count > 1 else ""
    return Fact("Memory", bytes_words(view.process.resident_bytes), note)


def _last_error(view: ServerView) -> Fact:
    error = view.counts.last_error
    if error is None:
        return Fact("Last error", "none")
    value = f"{error.status} on {error.route}"
    is_ours = error.status >= SERVER_ERROR
    return Fact("Last error", value, ago_words(view.now_s - error.at_s), is_ours)


def _model_line(model: ModelView, chart: Chart | None, view: ServerView) -> ModelLine:
    measures, now_s = model.measures, view.now_s
    state, tone = _state(model)
    failed = sum(measures.requests.values()) - measures.requests.get("ok", 0)
    return ModelLine(
        release=model.release,
        state=state,
        tone=tone,
        reason=model.reason,
        note=_outcome_words(model),
        requests=count_words(sum(measures.requests.values())),
        rate=_rate(measures.recent_ms.slots(now_s), view),
        errors=count_words(failed),
        p50=chart.p50 if chart else NOTHING,
        p99=chart.p99 if chart else NOTHING,
        queue=_mean_words(measures.queue_s),
        compute=_mean_words(measures.compute_s),
        batch=_batch_words(model),
        last=ago_words(now_s - measures.last_at_s) if measures.last_at_s else "never",
    )


def _state(model: ModelView) -> tuple[str, str]:
    """Return a model's state and how it is coloured."""
    if not model.is_ready:
        return "not ready", "bad"
    if not model.is_proven:
        return "ready, not proven", "fair"
    return "ready", "good"


def _outcome_words(model: ModelView) -> str:
    """Say how requests ended that were not answered well."""
    return ", ".join(
        f"{count_words(count)} {_OUTCOMES.get(outcome, outcome)}"
        for outcome, count in list(model.measures.requests.items())
        if count and outcome != "ok"
    )


def _mean_words(histogram: Histogram) -> str:
    count = histogram.count
    return ms_words(1000.0 * histogram.total / count) if count else NOTHING


def _batch_words(model: ModelView) -> str:
    """Say how many rows are run together."""
    if model.rows_max == 1:
        return "not batched"
    rows = model.measures.batch_rows
    mean = f"{rows.total / rows.count:.1f}" if rows.count else NOTHING
    return f"{mean} of {model.rows_max}"


def _rate(slots: Sequence[Slot], view: ServerView) -> str:
    """Return the answers per second of the last minute, or of a shorter life."""
    last = int(view.now_s // SLOT_S)
    count = sum(s.count for s in slots if last - _RATE_SLOTS <= s.number < last)
    lived_s = view.counts.uptime_s - view.now_s % SLOT_S
    return rate_words(count / min(_RATE_SLOTS * SLOT_S, max(SLOT_S, lived_s)))


def _charts(
    slots: Mapping[str, list[Slot]], drawn: Mapping[str, Chart | None]
) -> Iterator[ModelChart]:
    """Yield the charts of the models that answered anything, the busiest first."""
    for release in sorted(slots, key=lambda name: -sum(s.count for s in slots[name])):
        chart = drawn[release]
        if chart is not None:
            yield ModelChart(release, chart)


def _prediction_line(prediction: Prediction, now_s: float) -> PredictionLine:
    took_ms = prediction.took_ms
    return PredictionLine(
        at=clock_words(prediction.at_s),
        ago=ago_words(now_s - prediction.at_s),
        release=prediction.release,
        inputs=_shapes(prediction.inputs),
        outputs=_shapes(prediction.outputs),
        classes=_class_words(prediction),
        took=NOTHING if took_ms is None else ms_words(took_ms),
    )


def _shapes(shapes: Shapes) -> tuple[str, ...]:
    return tuple(f"{name} {shape_words(shape)}" for name, shape in shapes.items())


def _class_words(prediction: Prediction) -> str:
    """Say which class was likeliest, for the first rows."""
    words = ", ".join(map(str, prediction.classes))
    rows = max((shape[0] for shape in prediction.outputs.values() if shape), default=0)
    return (
        f"{words}, …" if words and rows > len(prediction.classes) else words or NOTHING
    )


def _error_line(error: ErrorAnswer, now_s: float) -> ErrorLine:
    return ErrorLine(
        at=clock_words(error.at_s),
        ago=ago_words(now_s - error.at_s),
        status=error.status,
        phrase=HTTPStatus(error.status).phrase,
        route=error.route,
        is_ours=error.status >= SERVER_ERROR,
    )


def _routes(view: ServerView) -> Iterator[RouteLine]:
    """Yield the answers by route and status."""
    shown = ""
    for (route, status), count in sorted(view.counts.answered.items()):
        is_first = route != shown
        shown = route
        yield RouteLine(
            route=route if is_first else "",
            status=status,
            is_error=status >= ERROR,
            count=count_words(count),
            mean=ms_words(view.counts.mean_ms(route)) if is_first else "",
        )
