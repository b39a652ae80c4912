"""What `GET /status` says: the status page for programs."""

from datetime import UTC, datetime

from edge_runtime.latency import quantile_ms
from edge_runtime.views.chart import LATE, MEDIAN
from edge_runtime.views.server_view import ModelView, Prediction, ServerView


def describe_server(view: ServerView) -> dict[str, object]:
    """Describe a server; no payload is in it."""
    error = view.counts.last_error
    return {
        "release": view.release or None,
        "slot": view.slot or None,
        "ready": view.is_ready,
        "reason": view.reason,
        "uptime_s": round(view.counts.uptime_s, 1),
        "requests": view.counts.describe(),
        "last_error": error.describe() if error else None,
        "models": [describe_model(model, view.now_s) for model in view.models],
        "last": [describe_prediction(p) for p in view.predictions],
    }


def describe_model(model: ModelView, now_s: float) -> dict[str, object]:
    """Describe one model."""
    measures = model.measures
    slots = measures.recent_ms.slots(now_s)
    counts = [sum(column) for column in zip(*(s.counts for s in slots), strict=True)]
    return {
        "name": model.name,
        "version": model.version,
        "release": model.release,
        "ready": model.is_ready,
        "reason": model.reason,
        "proven": model.is_proven,
        "batch_rows_max": model.rows_max,
        "requests": dict(measures.requests),
        "rows": measures.rows,
        "p50_ms": round(quantile_ms(counts, MEDIAN), 4) if counts else None,
        "p99_ms": round(quantile_ms(counts, LATE), 4) if counts else None,
    }


def describe_prediction(prediction: Prediction) -> dict[str, object]:
    """Describe one answered request."""
    at = datetime.fromtimestamp(prediction.at_s, UTC).isoformat(timespec="seconds")
    return {
        "at": at,
        "release": prediction.release,
        "inputs": {name: list(s) for name, s in prediction.inputs.items()},
        "outputs": {name: list(s) for name, s in prediction.outputs.items()},
        "classes": list(prediction.classes),
        "took_ms": prediction.took_ms,
    }
