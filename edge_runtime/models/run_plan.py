"""Decide at load how a model is best run: alone or in batches, here or in a thread.

Requests are joined only where that was seen to change no answer and to pay. Many
models have a first axis that is free and yet couples rows: a normalisation over
the batch, quantisation with one scale for the whole tensor, a sequence. Such a
model gives a row another answer when another row stands beside it, so rows are
run alone and together, and must agree.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.errors import ModelError
from edge_runtime.model_session import ModelSession
from edge_runtime.models.trial_rows import agree, different_rows, join
from packhorse.inference.signature import Arrays

ROWS_MAX = 64
"""Rows of one run: beyond it a row of a small model gets no cheaper."""

BATCH_S = 0.05
"""Time that a full batch may take: who comes after it waits so long."""

SLOW_S = 0.0003
"""A hop to a thread and back costs 10 to 30 µs; past ten times that it pays."""

GAIN_MIN = 1.3
"""How many times cheaper a row must be in a batch, for joining costs something."""

TRIAL_ROWS = 8
TRIAL_S = 0.12
"""What all trials together may take; together with a start in 0.4 s of processor."""

_TRIAL_RUNS = 5
"""Times that each row is run: alone, in two companies, and twice for the time."""
_TRIAL_MAX_BYTES = 16 * 1024**2
_TIMED_S = 0.01
_TIMED_RUNS = 10
_RUN_MAX_S = 0.25

_COUPLING = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeLSTM"})
"""Operators that take one scale from all rows. Where only a label comes out, rows
may seem to agree by chance."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How a model is run.

    Attributes:
        rows_max: Rows that one run may answer; 1 where requests are never joined.
            Above 1, every input and output has rows on axis 0, no input is
            optional, and there is at least one.
        run_s: What one row alone takes of the processor, in seconds.
        is_slow: Whether it is run in a thread, so that the event loop goes on.
    """

    rows_max: int = 1
    run_s: float = 0.0
    is_slow: bool = False


def measure_plan(
    session: ModelSession, samples: Sequence[Arrays], *, known_s: float = 0.0
) -> RunPlan:
    """Measure how the model is best run.

    Args:
        session: A model that has answered the first sample before.
        samples: Inputs that it can compute, each of one row where it has rows.
        known_s: Processor time that one run is known to take; a long one is not
            timed again.
    """
    run_s = known_s if known_s > _TIMED_S else _best_s(session, samples[0])
    plan = RunPlan(1, run_s, run_s > SLOW_S)
    if not session.batch_axis or session.operators & _COUPLING:
        return plan
    try:
        rows_max = _rows_max(session, samples, run_s)
    except ModelError:
        # What was made up for the trial is not for this model.
        return plan
    return RunPlan(rows_max, run_s, plan.is_slow)


def _rows_max(session: ModelSession, samples: Sequence[Arrays], run_s: float) -> int:
    """Return how many rows one run may answer."""
    row_bytes = sum(array.nbytes for array in samples[0].values())
    affordable = int(TRIAL_S / (_TRIAL_RUNS * max(run_s, 1e-9)))
    fitting = _TRIAL_MAX_BYTES // max(row_bytes, 1)
    rows = different_rows(samples, min(TRIAL_ROWS, affordable, fitting))
    if len(rows) < 2 or not agree(session, rows, limit_s=_RUN_MAX_S):  # noqa: PLR2004 - nothing to join
        return 1
    row_s = _best_s(session, join(rows)) / len(rows)
    if run_s < GAIN_MIN * row_s:
        return 1
    return max(1, min(ROWS_MAX, int(BATCH_S / row_s)))


def _best_s(session: ModelSession, inputs: Arrays) -> float:
    """Return the least processor time of some runs.

    By the clock on the wall, a machine that is busy while a model is loaded would
    show what others take, and decide how this model is run until the next start.
    """
    best_s = float("inf")
    until_s = time.thread_time() + _TIMED_S
    for _ in range(_TIMED_RUNS):
        begun_s = time.thread_time()
        session.run(inputs)
        ended_s = time.thread_time()
        best_s = min(best_s, ended_s - begun_s)
        if ended_s > until_s:
            break
    return best_s
