"""What the prediction log costs, on the server's thread and on its own.

    .venv/bin/python -m bench.prediction_log

Nothing here is mocked: the log writes to a folder that is removed at the end.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_runtime.prediction_log.log import PredictionLog
from edge_runtime.settings.serve_settings import LogSettings
from packhorse.inference.prediction import Entry

ROUNDS = 5
CALLS = 200_000
MODELS = {
    "S, 24 numbers -> 3 scores": ((1, 24), (1, 3)),
    "T, 600 kB -> 1000 scores": ((1, 3, 224, 224), (1, 1000)),
}


def main() -> None:
    """Measure, and print one line for each figure."""
    directory = Path(tempfile.mkdtemp(prefix="prediction-log-"))
    try:
        _measure_sampled_out(directory / "out")
        for name, shapes in MODELS.items():
            for policy in ("summary", "full"):
                _measure_kept(directory / policy, name, policy, shapes)
    finally:
        shutil.rmtree(directory)


def _measure_sampled_out(directory: Path) -> None:
    off = PredictionLog(directory, LogSettings(0.01, "off"))
    _say("wants(), log off", _best_ns(off.wants))
    log = PredictionLog(directory, LogSettings(0.01, "summary"))
    _say("wants(), 1 % kept", _best_ns(log.wants))
    array = np.zeros((1, 24), np.float32)

    def request() -> None:
        if log.wants():
            log.offer(_entry({"x": array}, {"y": array}))

    _say("wants() and offer(), 1 % drawn, ten a second kept", _best_ns(request))
    log.close()


def _measure_kept(
    directory: Path, name: str, policy: str, shapes: tuple[tuple[int, ...], ...]
) -> None:
    log = PredictionLog(directory, LogSettings(1.0, policy, 2**30))  # type: ignore[arg-type]  # two of its three words
    takes, gives = (np.random.default_rng(1).random(s, np.float32) for s in shapes)
    entries = [_entry({"x": takes.copy()}, {"y": gives}) for _ in range(40)]
    offered_ns, busy_ns, written = 0, 0, 0
    for _ in range(ROUNDS):
        others_ns = time.process_time_ns()
        began_ns, here_ns = time.perf_counter_ns(), time.thread_time_ns()
        for entry in entries:
            log.offer(entry)
        offered_ns += time.perf_counter_ns() - began_ns
        written += len(entries)
        while log.counts().written + log.counts().dropped_total < written:
            time.sleep(0.01)
        here_ns = time.thread_time_ns() - here_ns
        busy_ns += time.process_time_ns() - others_ns - here_ns
    log.close()
    if log.counts().dropped_total:
        raise SystemExit(f"expected all to be written, came {log.counts()}")
    _say(f"{name}, {policy}: offer()", offered_ns / written)
    _say(f"{name}, {policy}: the log's thread, CPU", busy_ns / written)


def _entry(inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> Entry:
    return Entry(
        at_s=time.time(),
        model="tiny",
        version="1",
        request_id="",
        traceparent="",
        outcome="ok",
        queue_s=1e-5,
        compute_s=1e-4,
        rows=1,
        inputs=inputs,
        outputs=outputs,
    )


def _best_ns(call: Callable[[], object]) -> float:
    """Return what one call costs in the best of some rounds, the loop included."""
    best = float("inf")
    for _ in range(ROUNDS):
        began_ns = time.perf_counter_ns()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter_ns() - began_ns) / CALLS)
    return best


def _say(what: str, nanoseconds: float) -> None:
    print(f"{nanoseconds / 1000:10.3f} µs  {what}")  # noqa: T201 - the output


if __name__ == "__main__":
    main()
