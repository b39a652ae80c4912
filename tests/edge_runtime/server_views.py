"""Servers as the status page, the metrics and the API document see them."""

import math
import random
import time

from edge_runtime.counts import Counts
from edge_runtime.measures import ModelMeasures
from edge_runtime.settings.serve_settings import Limits
from edge_runtime.views.server_view import (
    ModelView,
    Prediction,
    ProcessView,
    ServerView,
)
from packhorse.inference.signature import Signature
from packhorse.manifest import TensorSpec

NOW_S = 1_800_000_007.0
TINY = Signature(
    inputs={"x": TensorSpec("x", "FP32", (-1, 4))},
    outputs={"y": TensorSpec("y", "FP32", (-1, 3))},
)


def model_view(name="tiny", version="3", **parts):
    """Return a model that answered nothing yet."""
    parts = {"measures": ModelMeasures(), "signature": TINY} | parts
    return ModelView(name=name, version=version, release=f"{name}@{version}", **parts)


def server_view(*models, **parts):
    """Return a server with these models."""
    parts = {
        "release": models[0].release if models else "",
        "slot": "a" if models else "",
        "reason": "" if models else "no release is installed yet",
        "counts": Counts(clock=lambda: NOW_S),
        "limits": Limits(),
        "now_s": NOW_S,
        "process": ProcessView(12.5, 73_400_320),
    } | parts
    return ServerView(models=models, **parts)


def busy_measures(seed=1, *, typical_ms=0.4, now_s=NOW_S, minutes=15, per_s=8):
    """Return measures of a model with a burst and a pause in its recent past."""
    chance = random.Random(seed)
    measures = ModelMeasures()
    for second in range(minutes * 60):
        ago_s = minutes * 60 - second
        if 380 < ago_s < 430:
            continue
        is_slow = 190 < ago_s < 260
        rate = per_s * (2.4 if is_slow else 1.0 + 0.5 * math.sin(second / 70))
        for _ in range(round(rate)):
            took_ms = typical_ms * chance.lognormvariate(0.9 if is_slow else 0.0, 0.35)
            took_ms *= 12.0 if chance.random() < 0.02 else 1.0
            _answer(measures, now_s - ago_s, took_ms)
    measures.requests["malformed"] = 7
    measures.requests["late"] = 2
    return measures


def _answer(measures, at_s, took_ms):
    measures.requests["ok"] += 1
    measures.queue_s.observe(took_ms * 0.2e-3)
    measures.compute_s.observe(took_ms * 0.7e-3)
    measures.batch_rows.observe(2.0)
    measures.batches_ahead.observe(0.0)
    measures.rows += 2
    measures.last_at_s = at_s
    measures.recent_ms.add(at_s, took_ms)


def busy_view():
    """Return a server in the middle of its work, as the pictures show it."""
    models = (
        model_view("magika", "2", measures=busy_measures(1), rows_max=32),
        model_view(
            "defects",
            "14",
            measures=busy_measures(2, typical_ms=21.0, per_s=1),
            is_proven=False,
        ),
    )
    counts = Counts(clock=lambda: NOW_S - 94.0, started_s=time.monotonic() - 187_000)
    for route, status, count in (
        *(("infer", 200, 91_204), ("infer", 400, 7), ("infer", 504, 2)),
        *(("metrics", 200, 6233), ("ready", 200, 18_700), ("other", 404, 3)),
    ):
        for _ in range(count):
            counts.add(route, status, 0.0004)
    predictions = [
        Prediction(NOW_S - 0.3 - n * 1.7, release, {"x": inner}, {"y": outer}, top, ms)
        for n, (release, inner, outer, top, ms) in enumerate(
            [
                ("magika@2", (1, 1536), (1, 113), (24,), 0.41),
                ("magika@2", (5, 1536), (5, 113), (24, 24, 7), 0.92),
                ("defects@14", (1, 3, 96, 96), (1, 2), (0,), 21.8),
                ("magika@2", (1, 1536), (1, 113), (111,), 0.39),
            ]
        )
    ]
    return server_view(*models, counts=counts, predictions=predictions)
