"""The calls of one model that wait to be run.

Nobody waits on a clock. What one wake-up of the event loop finds complete stands
in the queue together, and calls that may be joined are run as one batch. A short
model is run in the event loop; a long one in threads of its own, and while it runs
the next batch gathers.

How long the queue may be is a number of batches: who would stand behind more is
told so at once. All of this happens on the event loop's thread; only a long
model's runs do not.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from edge_runtime.errors import OverrunError
from edge_runtime.http.replies import Reply, mistake
from edge_runtime.inference.calls import Call, rows_of
from edge_runtime.inference.runs import (
    Done,
    failed_calls,
    late,
    overloaded,
    run_calls,
    run_patiently,
)
from edge_runtime.models.served_model import ServedModel
from edge_runtime.run_watch import LOOP_RUN_S
from edge_runtime.threads import Threads
from packhorse.inference.signature import Arrays

PARALLEL = 2
"""Runs of one long model at a time: enough for both cores of a small gateway."""

SLICE_S = 0.001
"""Time after which runs in the event loop let it see to its connections."""

SLOW_S = 0.0003
"""A hop to a thread and back costs 10 to 30 µs; past ten times that it pays."""

SLOW_BATCH_S = 0.003
"""The same for a model that answers many requests in one run."""

_WEIGHT = 0.1
_BACK = 0.6
"""Below this share of the limit a model comes back into the loop: no flapping."""

Note = Callable[[Call, Arrays | None, str, float, float], None]
"""Takes a call, its outputs, its outcome, and its time in queue and run."""


@dataclass(slots=True, eq=False)
class _Batch:
    """Calls that will be run together.

    Attributes:
        key: What all of them have as theirs.
        is_long: Whether they are run in a thread, however short the model is.
    """

    calls: list[Call]
    key: object
    rows: int
    is_long: bool


class Queue:
    """One model's calls, from their decoding to their replies."""

    def __init__(
        self,
        model: ServedModel,
        threads: Threads,
        *,
        ahead_max: int,
        rows_max: int,
        note: Note,
    ) -> None:
        """Begin with nothing waiting.

        Args:
            model: What runs the calls.
            threads: Where its long runs happen; `PARALLEL`, of this model alone.
            ahead_max: Batches that a call may have to stand behind.
            rows_max: Rows of a batch; 1 joins no requests.
            note: Hears of every call that is answered.
        """
        self._model = model
        self._measures = model.measures
        self._threads = threads
        self._ahead_max = ahead_max
        self._rows_max = min(rows_max, model.plan.rows_max)
        self._note = note
        self._slow_s = SLOW_S if self._rows_max == 1 else SLOW_BATCH_S
        self._is_slow = model.plan.is_slow
        self._average_s = model.plan.run_s
        self._rows_short = self._slow_s / max(model.plan.run_s, 1e-9)
        self._has_free_axes = _has_free_axes(model)
        self._batches: deque[_Batch] = deque()
        self._running = 0
        self._is_scheduled = False
        self._loop = asyncio.get_running_loop()

    def shut_down(self) -> None:
        """Run nothing in threads any more."""
        self._threads.shut_down()

    def put(self, call: Call) -> None:
        """Run the call when its turn comes, or answer at once that it cannot."""
        self._classify(call)
        batch = self._last_for(call)
        ahead = len(self._batches) + self._running - (batch is not None)
        if batch is None and ahead > self._ahead_max:
            self._finish(call, *overloaded(self._model.headers))
            return
        if call.timeout_s is not None and not self._set_timer(call, call.timeout_s):
            return
        self._measures.batches_ahead.observe(ahead)
        if batch is None:
            self._batches.append(_Batch([call], call.key, call.rows, call.is_long))
        else:
            batch.calls.append(call)
            batch.rows += call.rows
        if not self._is_scheduled:
            self._schedule()

    def _classify(self, call: Call) -> None:
        """Say how many rows a call has, and what it may be run together with."""
        inputs = call.inputs
        call.rows = rows = rows_of(inputs)
        # Compressing an answer takes longer than most runs.
        call.is_long = call.envelope.answer_coding != ""
        if not 0 < rows < self._rows_max:
            call.key = object()  # a batch by itself, however long that is
            call.is_long |= 1 < self._rows_max < rows > self._rows_short
        elif len(inputs) > 1 and len(set(map(len, inputs.values()))) > 1:
            call.key = object()  # its rows would stand beside another's
        elif self._has_free_axes:
            # In the model's order: a request's own may be another.
            names = self._model.signature.inputs
            call.key = (call.outputs, *(inputs[name].shape[1:] for name in names))
        else:
            call.key = call.outputs

    def _last_for(self, call: Call) -> _Batch | None:
        """Return the last batch if the call may join it."""
        if not self._batches:
            return None
        last = self._batches[-1]
        fits = last.rows + call.rows <= self._rows_max
        joins = fits and last.key == call.key and last.is_long == call.is_long
        return last if joins else None

    def _set_timer(self, call: Call, timeout_s: float) -> bool:
        """Have the call answered when its time is up; False where that is now."""
        left_s = timeout_s - (time.perf_counter() - call.arrived_s)
        if left_s <= 0.0:
            self._expire(call, timeout_s)
            return False
        call.timer = self._loop.call_later(left_s, self._expire, call, timeout_s)
        return True

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Run what waits, as far as there is a place for it."""
        self._is_scheduled = False
        until_s = time.perf_counter() + SLICE_S
        while self._batches:
            if self._is_slow or self._batches[0].is_long:
                if self._running >= PARALLEL:
                    return
                self._run_in_thread(self._batches.popleft().calls)
            else:
                self._run_here(self._batches.popleft().calls)
                if time.perf_counter() > until_s and self._batches:
                    self._schedule()
                    return

    # Running.

    def _run_here(self, calls: list[Call]) -> None:
        begun_s = time.perf_counter()
        try:
            done = _guarded(run_calls, self._model, calls)
        except OverrunError:
            # Nobody was answered yet, and a thread has more time.
            self._is_slow, self._average_s = True, LOOP_RUN_S
            self._run_in_thread(calls)
        else:
            self._settle(calls, begun_s, done)

    def _run_in_thread(self, calls: list[Call]) -> None:
        self._running += 1
        self._threads.do(
            partial(_guarded, run_patiently, self._model, calls),
            partial(self._returned, calls, time.perf_counter()),
            partial(self._lost, calls),
        )

    def _returned(self, calls: list[Call], begun_s: float, done: Done) -> None:
        """Go on with what waits, and answer what a thread has run."""
        self._go_on()
        self._settle(calls, begun_s, done)

    def _lost(self, calls: list[Call], error: BaseException) -> None:
        """Answer calls that no thread could run: there was no memory for it."""
        self._go_on()
        mistake(error)
        for call in calls:
            self._finish(call, *overloaded(self._model.headers))

    def _go_on(self) -> None:
        self._running -= 1
        if self._batches and not self._is_scheduled:
            self._schedule()

    def _settle(self, calls: Sequence[Call], begun_s: float, done: Done) -> None:
        """Answer the calls of a batch, and measure it; a mistake harms one alone."""
        measures = self._measures
        for call, reply, outputs in zip(calls, done.replies, done.outputs, strict=True):
            queue_s = begun_s - call.arrived_s
            try:
                if self._answer(call, *reply):
                    self._note(call, outputs, reply[1], queue_s, done.compute_s)
                measures.queue_s.observe(queue_s)
            except Exception as error:  # noqa: BLE001 - the others still wait
                mistake(error)
        try:
            self._measure(calls, done)
        except Exception as error:  # noqa: BLE001 - others wait in the queue
            mistake(error)

    def _measure(self, calls: Sequence[Call], done: Done) -> None:
        measures = self._measures
        measures.compute_s.observe(done.compute_s)
        rows = sum([call.rows for call in calls])
        if (outputs := done.outputs[-1]) is not None:
            took_s = time.perf_counter() - calls[-1].arrived_s
            self._model.recent.add(
                calls[-1].inputs, outputs, at_s=time.time(), took_s=took_s
            )
        measures.batch_rows.observe(rows)
        measures.rows += rows
        if 1 < self._rows_max < rows > self._rows_short:
            return  # it says nothing of the others
        self._average_s += _WEIGHT * (done.compute_s - self._average_s)
        if self._average_s > self._slow_s:
            self._is_slow = True
        elif self._average_s < self._slow_s * _BACK:
            self._is_slow = False

    def _expire(self, call: Call, timeout_s: float) -> None:
        """Answer a call whose time is up, and forget it unless it runs already."""
        for batch in self._batches:
            if call in batch.calls:
                batch.calls.remove(call)
                batch.rows -= call.rows
                if not batch.calls:
                    self._batches.remove(batch)
                break
        self._finish(call, *late(self._model.headers, timeout_s))

    def _finish(self, call: Call, reply: Reply, outcome: str) -> None:
        """Answer a call that was not run, or whose run goes on for nobody."""
        if self._answer(call, reply, outcome):
            waited_s = time.perf_counter() - call.arrived_s
            self._note(call, None, outcome, waited_s, 0.0)

    def _answer(self, call: Call, reply: Reply, outcome: str) -> bool:
        """Answer a call; False where it was answered before."""
        if call.is_answered:
            return False
        call.is_answered = True
        if call.timer is not None:
            call.timer.cancel()
        call.done(reply, outcome)
        return True


def _guarded(
    run: Callable[[ServedModel, Sequence[Call]], Done],
    model: ServedModel,
    calls: Sequence[Call],
) -> Done:
    """Run calls; whatever else is raised is a mistake of ours, logged here."""
    try:
        return run(model, calls)
    except OverrunError:
        raise
    except Exception as error:  # noqa: BLE001 - the server's last handler
        return failed_calls(calls, error)


def _has_free_axes(model: ServedModel) -> bool:
    """Say whether two requests' rows may differ in shape."""
    signature = model.signature
    specs = signature.inputs.values()
    return bool(signature.optional) or any(-1 in spec.shape[1:] for spec in specs)
