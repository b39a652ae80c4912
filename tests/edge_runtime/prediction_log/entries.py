"""Predictions to log, and ways to look at what was logged."""

import time
from contextlib import suppress

import numpy as np

from edge_runtime.prediction_log.log import PredictionLog
from edge_runtime.prediction_log.reader import LogReader
from edge_runtime.prediction_log.writer import Pace
from edge_runtime.settings.serve_settings import LogSettings
from packhorse.inference.prediction import Entry

QUICK = Pace(flush_s=0.05, retry_s=0.05, idle_s=0.05)
ALL = LogSettings(1.0, "summary", 64 * 1024**2)


def entry(request_id="r", **changes):
    fields = {
        "at_s": time.time(),
        "model": "tiny",
        "version": "1",
        "request_id": str(request_id),
        "traceparent": "",
        "outcome": "ok",
        "queue_s": 1e-5,
        "compute_s": 2e-4,
        "rows": 1,
        "inputs": {"x": np.array([[1.0, 2.0]], np.float32)},
        "outputs": {"y": np.array([[0.25, 0.75]], np.float32)},
    }
    return Entry(**{**fields, **changes})


def write(directory, *entries, settings=ALL, **options):
    """Log entries as one process does, from its start to its end."""
    log = PredictionLog(directory, settings, **{"free_min_bytes": 0, **options})
    for one in entries:
        log.offer(one)
    log.close(limit_s=30.0)
    return log.counts()


def read(directory):
    return list(LogReader(directory).read())


def request_ids(directory):
    return [r.document["request_id"] for r in read(directory) if r.is_prediction]


def size_bytes(directory):
    total = 0
    for path in directory.iterdir():
        with suppress(FileNotFoundError):  # others write, and remove
            total += path.stat().st_size
    return total
