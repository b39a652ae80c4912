"""Everything that is measured, in Prometheus' text format, for `GET /metrics`.

Source: Prometheus, "Exposition formats", text-based format, version 0.0.4
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence

from edge_runtime.measures import Histogram
from edge_runtime.service import SERVER_VERSION
from edge_runtime.views.server_view import ModelView, ServerView

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[str, float]
"""Labels as they are written, braces and all, and a value."""

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def write_metrics(view: ServerView) -> str:
    """Write all measures of a server."""
    lines = [
        *_requests(view.models),
        *_histograms(view.models),
        *_models(view.models),
        *_http(view),
        *_server(view),
    ]
    lines.append("")
    return "\n".join(lines)


def labels(**values: str) -> str:
    """Write labels: backslash, quotation mark and line feed are escaped."""
    if not values:
        return ""
    pairs = (f'{name}="{v.translate(_ESCAPES)}"' for name, v in values.items())
    return "{" + ",".join(pairs) + "}"


def _requests(models: Sequence[ModelView]) -> Iterator[str]:
    """Yield how many requests ended how, for every model."""
    yield from _family(
        "packhorse_requests_total",
        "counter",
        "Inference requests by how they ended.",
        (
            (_of(model, outcome=outcome), count)
            for model in models
            for outcome, count in list(model.measures.requests.items())
        ),
    )


def _histograms(models: Sequence[ModelView]) -> Iterator[str]:
    """Yield the histograms of every model."""
    yield from _histogram(
        "packhorse_queue_seconds",
        "Time from a request's arrival to the start of its run.",
        models,
        lambda model: model.measures.queue_s,
    )
    yield from _histogram(
        "packhorse_compute_seconds",
        "Time of one run of the model, for however many requests.",
        models,
        lambda model: model.measures.compute_s,
    )
    yield from _histogram(
        "packhorse_batch_rows",
        "Rows that one run of the model answered.",
        models,
        lambda model: model.measures.batch_rows,
    )
    yield from _histogram(
        "packhorse_batches_ahead",
        "Batches that stood before a request when it was accepted.",
        models,
        lambda model: model.measures.batches_ahead,
    )


def _models(models: Sequence[ModelView]) -> Iterator[str]:
    """Yield what is one number for every model."""
    yield from _per_model(
        "packhorse_rows_total",
        "counter",
        "Rows answered.",
        models,
        lambda model: model.measures.rows,
    )
    yield from _per_model(
        "packhorse_last_answer_timestamp_seconds",
        "gauge",
        "Unix time of the last answer, 0 before the first.",
        models,
        lambda model: model.measures.last_at_s,
    )
    yield from _per_model(
        "packhorse_model_ready",
        "gauge",
        "Whether the model answers.",
        models,
        lambda model: int(model.is_ready),
    )
    yield from _per_model(
        "packhorse_model_proven",
        "gauge",
        "Whether the model's golden samples ran on this machine.",
        models,
        lambda model: int(model.is_proven),
    )
    yield from _per_model(
        "packhorse_model_batch_rows_max",
        "gauge",
        "Rows that are run together at most; 1 where the model is never batched.",
        models,
        lambda model: model.rows_max,
    )


def _http(view: ServerView) -> Iterator[str]:
    """Yield the answers by route."""
    counts = view.counts
    yield from _family(
        "packhorse_http_requests_total",
        "counter",
        "HTTP requests answered, by route and status.",
        (
            (labels(route=route, status=str(status)), count)
            for (route, status), count in sorted(counts.answered.copy().items())
        ),
    )
    yield from _family(
        "packhorse_http_request_seconds_total",
        "counter",
        "Time spent on answering HTTP requests, by route.",
        (
            (labels(route=route), busy_s)
            for route, busy_s in sorted(counts.busy_s.items())
        ),
    )


def _server(view: ServerView) -> Iterator[str]:
    """Yield what is said of the server as a whole."""
    build = labels(
        version=SERVER_VERSION, python=platform.python_version(), release=view.release
    )
    process = view.process
    for name, kind, text, sample in (
        (
            "packhorse_ready",
            "gauge",
            "Whether the server is ready.",
            ("", int(view.is_ready)),
        ),
        (
            "packhorse_prediction_log_dropped_total",
            "counter",
            "Entries that the prediction log had no room for.",
            ("", view.log_dropped),
        ),
        (
            "packhorse_build_info",
            "gauge",
            "Always 1; its labels say what runs.",
            (build, 1),
        ),
        (
            "packhorse_uptime_seconds",
            "gauge",
            "Time since the server started.",
            ("", view.counts.uptime_s),
        ),
        (
            "packhorse_processes",
            "gauge",
            "Processes that answer.",
            ("", process.count),
        ),
        (
            "process_cpu_seconds_total",
            "counter",
            "Processor time of the processes that answer.",
            ("", process.cpu_s),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory; pages that processes share count in each.",
            ("", process.resident_bytes),
        ),
    ):
        yield from _family(name, kind, text, [sample])


def _family(
    name: str, kind: str, text: str, samples: Iterable[Sample]
) -> Iterator[str]:
    """Yield a metric's lines; `text` is ours and needs no escapes."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for label, value in samples:
        yield f"{name}{label} {value}"


def _per_model(
    name: str,
    kind: str,
    text: str,
    models: Sequence[ModelView],
    value: Callable[[ModelView], float],
) -> Iterator[str]:
    samples = ((_of(model), value(model)) for model in models)
    return _family(name, kind, text, samples)


def _histogram(
    name: str,
    text: str,
    models: Sequence[ModelView],
    pick: Callable[[ModelView], Histogram],
) -> Iterator[str]:
    """Yield a histogram's lines: cumulative buckets, the sum, the count."""
    yield from _family(name, "histogram", text, ())
    for model in models:
        histogram = pick(model)
        sums = histogram.cumulative()
        for bound, count in zip((*histogram.bounds, "+Inf"), sums, strict=True):
            yield f"{name}_bucket{_of(model, le=str(bound))} {count}"
        yield f"{name}_sum{_of(model)} {histogram.total}"
        yield f"{name}_count{_of(model)} {sums[-1]}"


def _of(model: ModelView, **more: str) -> str:
    return labels(model=model.name, release=model.release, **more)
