"""The calls of one model that wait to be run, and how they are run.

Nobody waits on a clock. What one wake-up of the event loop finds complete stands
in the queue together, and calls that may be joined are run as one batch. A short
model is run in the event loop; a long one in a thread, and while it runs the next
batch gathers.

How long the queue may be is a number of batches: who would stand behind more is
told so at once. All of this happens on the event loop's thread; only a long
model's runs do not.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np

from edge_runtime.calls import Call
from edge_runtime.errors import ModelError, OverrunError
from edge_runtime.replies import Reply, error_reply, mistake, refusal
from edge_runtime.served_model import ServedModel
from packhorse.errors import MalformedError

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

Arrays = Mapping[str, np.ndarray]
Outcome = tuple[Reply, str]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a batch.

    Attributes:
        replies: For each call, and its outcome.
        outputs: What the model gave, for each call; None where it failed.
        compute_s: Time that the runs took.
    """

    replies: list[Outcome]
    outputs: list[Arrays | None]
    compute_s: float


Note = Callable[[Call, Arrays | None, str, float, float], None]
"""Takes a call, its outputs, its outcome, and its time in queue and run."""


class Queue:
    """One model's calls, from their decoding to their replies."""

    def __init__(
        self,
        model: ServedModel,
        pool: Executor,
        *,
        ahead_max: int,
        rows_max: int,
        note: Note,
    ) -> None:
        """Begin with nothing waiting.

        Args:
            model: What runs the calls.
            pool: Where a long model's runs happen.
            ahead_max: Batches that a call may have to stand behind.
            rows_max: Rows of a batch; 1 joins no requests.
            note: Hears of every call that was run.
        """
        self._model = model
        self._pool = pool
        self._ahead_max = ahead_max
        self._rows_max = min(rows_max, model.plan.rows_max)
        self._note = note
        self._slow_s = SLOW_S if self._rows_max == 1 else SLOW_BATCH_S
        self._is_slow = model.plan.is_slow
        self._average_s = model.plan.run_s
        self._has_free_axes = _has_free_axes(model)
        self._waiting: deque[Call] = deque()
        self._rows = 0
        self._running = 0
        self._is_scheduled = False
        self._loop = asyncio.get_running_loop()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and not self._running

    def put(self, call: Call) -> None:
        """Run the call when its turn comes, or answer at once that it cannot."""
        if self._rows_max > 1:
            self._classify(call)
        ahead = self._rows // self._rows_max + self._running
        if ahead > self._ahead_max:
            self._finish(call, *_overloaded())
            return
        self._model.measures.batches_ahead.observe(ahead)
        if call.timeout_s is not None:
            late_s = call.timeout_s - (time.perf_counter() - call.arrived_s)
            call.timer = self._loop.call_later(max(0.0, late_s), self._expire, call)
        self._waiting.append(call)
        self._rows += self._weight(call)
        if not self._is_scheduled:
            self._schedule()

    def _classify(self, call: Call) -> None:
        """Say how many rows a call has, and what it may be run together with."""
        inputs = call.inputs.values()
        call.rows = len(next(iter(inputs)))
        if not 0 < call.rows < self._rows_max:
            call.key = call  # a batch by itself, however long that is
        elif self._has_free_axes:
            call.key = (call.outputs, *(array.shape[1:] for array in inputs))
        else:
            call.key = call.outputs

    def _weight(self, call: Call) -> int:
        """Return for how many rows of a batch a call counts."""
        return min(call.rows, self._rows_max) or self._rows_max

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Run what waits, as far as there is a place for it."""
        self._is_scheduled = False
        until_s = time.perf_counter() + SLICE_S
        while self._waiting:
            if self._is_slow or self._running or self._waiting[0].is_long:
                if self._running >= PARALLEL:
                    return
                self._run_in_thread(self._take())
            else:
                self._run_here(self._take())
                if time.perf_counter() > until_s and self._waiting:
                    self._schedule()
                    return

    def _take(self) -> list[Call]:
        """Take the first call from the queue, and those that may join it."""
        waiting = self._waiting
        calls = [waiting.popleft()]
        rows, key = calls[0].rows, calls[0].key
        is_long = calls[0].is_long
        while waiting and waiting[0].key == key and rows < self._rows_max:
            if waiting[0].is_long != is_long:
                break
            rows += waiting[0].rows
            if rows > self._rows_max:
                break
            calls.append(waiting.popleft())
        for call in calls:
            self._rows -= self._weight(call)
        return [call for call in calls if not call.is_answered]

    # Running.

    def _run_here(self, calls: list[Call]) -> None:
        if not calls:
            return
        begun_s = time.perf_counter()
        try:
            done = _guarded(run_calls, self._model, calls)
        except OverrunError:
            # Nobody was answered yet, and a thread has more time.
            self._is_slow = True
            self._run_in_thread(calls)
        else:
            self._settle(calls, begun_s, done)

    def _run_in_thread(self, calls: list[Call]) -> None:
        if not calls:
            return
        self._running += 1
        begun_s = time.perf_counter()
        job = partial(_guarded, run_patiently, self._model, calls)
        future = self._loop.run_in_executor(self._pool, job)
        future.add_done_callback(partial(self._returned, calls, begun_s))

    def _returned(
        self, calls: list[Call], begun_s: float, future: "asyncio.Future[Done]"
    ) -> None:
        self._running -= 1
        if future.cancelled():
            return
        self._settle(calls, begun_s, future.result())
        if self._waiting and not self._is_scheduled:
            self._schedule()

    def _settle(self, calls: Sequence[Call], begun_s: float, done: Done) -> None:
        """Answer the calls of a batch, and measure it."""
        self._measure(calls, done)
        measures = self._model.measures
        for call, reply, outputs in zip(calls, done.replies, done.outputs, strict=True):
            queue_s = begun_s - call.arrived_s
            measures.queue_s.observe(queue_s)
            self._note(call, outputs, reply[1], queue_s, done.compute_s)
            self._finish(call, *reply)

    def _measure(self, calls: Sequence[Call], done: Done) -> None:
        measures = self._model.measures
        measures.compute_s.observe(done.compute_s)
        rows = sum([call.rows for call in calls])
        if (outputs := done.outputs[-1]) is not None:
            took_s = time.perf_counter() - calls[-1].arrived_s
            self._model.recent.add(
                calls[-1].inputs, outputs, at_s=time.time(), took_s=took_s
            )
        measures.batch_rows.observe(rows)
        measures.rows += rows
        self._average_s += _WEIGHT * (done.compute_s - self._average_s)
        if self._average_s > self._slow_s:
            self._is_slow = True
        elif self._average_s < self._slow_s * _BACK:
            self._is_slow = False

    def _expire(self, call: Call) -> None:
        """Answer a call whose time is up, wherever it is."""
        sentence = f"no answer within the {call.timeout_s:g} s that the request allows"
        self._finish(call, error_reply(504, sentence, self._model.headers), "late")

    def _finish(self, call: Call, reply: Reply, outcome: str) -> None:
        """Answer a call, unless it was answered before."""
        if call.is_answered:
            return
        call.is_answered = True
        if call.timer is not None:
            call.timer.cancel()
        call.done(reply, outcome)


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
        reply = mistake(error)
        return Done([(reply, "model_failed")] * len(calls), [None] * len(calls), 0.0)


def run_calls(model: ServedModel, calls: Sequence[Call]) -> Done:
    """Run calls together and write their replies.

    Raises:
        OverrunError: They took longer than they may in this thread.
    """
    begun_s = time.perf_counter()
    given: list[Arrays | Exception]
    try:
        given = _run_joined(model, calls)
    except OverrunError:
        raise
    except ModelError as error:
        # Alone, so that no request suffers from another's input.
        given = [error] if len(calls) == 1 else [_run_one(model, c) for c in calls]
    compute_s = time.perf_counter() - begun_s
    replies = [_reply(model, *pair) for pair in zip(calls, given, strict=True)]
    outputs = [None if isinstance(g, Exception) else g for g in given]
    return Done(replies, outputs, compute_s)


def run_patiently(model: ServedModel, calls: Sequence[Call]) -> Done:
    """Run calls in a thread, where a run that is stopped has had its time."""
    try:
        return run_calls(model, calls)
    except OverrunError as error:
        if len(calls) == 1:
            reply = refusal(error, model.headers), "stopped"
            return Done([reply], [None], 0.0)
    parts = [run_patiently(model, [call]) for call in calls]
    return Done(
        [part.replies[0] for part in parts],
        [part.outputs[0] for part in parts],
        sum(part.compute_s for part in parts),
    )


def _run_joined(model: ServedModel, calls: Sequence[Call]) -> list[Arrays | Exception]:
    """Run the calls as one batch; give each its rows."""
    if len(calls) == 1:
        return [model.session.run(calls[0].inputs, calls[0].outputs)]
    joined = {
        name: np.concatenate([call.inputs[name] for call in calls])
        for name in calls[0].inputs
    }
    outputs = model.session.run(joined, calls[0].outputs)
    given: list[Arrays | Exception] = []
    first = 0
    for call in calls:
        rows = slice(first, first + call.rows)
        given.append({name: array[rows] for name, array in outputs.items()})
        first = rows.stop
    return given


def _run_one(model: ServedModel, call: Call) -> Arrays | Exception:
    try:
        return model.session.run(call.inputs, call.outputs)
    except OverrunError:
        raise
    except ModelError as error:
        return error


def _reply(model: ServedModel, call: Call, given: Arrays | Exception) -> Outcome:
    """Write a call's reply, or find out who is to blame that there is none."""
    if isinstance(given, Exception):
        if model.failed(given):
            return error_reply(500, str(given), model.headers), "model_failed"
        sentence = "the model cannot compute this input; it computes others"
        return error_reply(400, sentence, model.headers), "malformed"
    model.succeeded()
    try:
        return call.encode(given), "ok"
    except MalformedError as error:
        return refusal(error, model.headers), "malformed"


def _overloaded() -> Outcome:
    sentence = "too many requests wait for this model"
    return error_reply(503, sentence, (("Retry-After", "1"),)), "overloaded"


def _has_free_axes(model: ServedModel) -> bool:
    """Say whether two requests' rows may differ in shape."""
    signature = model.signature
    specs = signature.inputs.values()
    return bool(signature.optional) or any(-1 in spec.shape[1:] for spec in specs)
