"""Run the calls of a batch together, and write each one's reply.

Nobody gets what he would not have got alone: where a batch fails, or what it
gives cannot be divided among its calls, each is run by itself. Whatever is raised
for one call is answered to that one.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_runtime.errors import ModelError, OverrunError
from edge_runtime.http.replies import (
    Headers,
    Reply,
    error_reply,
    mistake,
    refusal,
    unavailable,
)
from edge_runtime.inference.calls import Call
from edge_runtime.models.served_model import ServedModel
from packhorse.errors import MalformedError
from packhorse.inference.signature import Arrays

Outcome = tuple[Reply, str]


class Done(NamedTuple):
    """What became of a batch. A tuple, since one is made for every run.

    Attributes:
        replies: For each call, and its outcome.
        outputs: What the model gave, for each call; None where it failed.
        compute_s: Time that the runs took.
    """

    replies: list[Outcome]
    outputs: list[Arrays | None]
    compute_s: float


def run_calls(model: ServedModel, calls: Sequence[Call]) -> Done:
    """Run calls together and write their replies.

    Raises:
        OverrunError: They took longer than they may in this thread.
    """
    begun_s = time.perf_counter()
    if len(calls) == 1:
        given = [_run_one(model, calls[0])]
    else:
        given = _run_joined(model, calls) or [_run_one(model, call) for call in calls]
    compute_s = time.perf_counter() - begun_s
    replies = [_reply(model, call, g) for call, g in zip(calls, given, strict=True)]
    outputs = [None if isinstance(g, Exception) else g for g in given]
    return Done(replies, outputs, compute_s)


def run_patiently(model: ServedModel, calls: Sequence[Call]) -> Done:
    """Run calls in a thread, where a run that is stopped has had its time."""
    begun_s = time.perf_counter()
    try:
        return run_calls(model, calls)
    except OverrunError as error:
        if len(calls) == 1:
            reply = refusal(error, model.headers), "stopped"
            return Done([reply], [None], time.perf_counter() - begun_s)
    parts = [run_patiently(model, [call]) for call in calls]
    return Done(
        [part.replies[0] for part in parts],
        [part.outputs[0] for part in parts],
        time.perf_counter() - begun_s,
    )


def overloaded(headers: Headers) -> Outcome:
    """Answer a call that would stand behind too many others."""
    sentence = "too many requests wait for this model"
    return unavailable(sentence, headers), "overloaded"


def late(headers: Headers, timeout_s: float) -> Outcome:
    """Answer a request whose time is up."""
    sentence = f"no answer within the {timeout_s:g} s that the request allows"
    return error_reply(504, sentence, headers), "late"


def failed_calls(calls: Sequence[Call], error: Exception) -> Done:
    """Answer calls whose run came to nothing, by a mistake of ours."""
    reply = mistake(error, calls[0].model.headers)
    return Done([(reply, "model_failed")] * len(calls), [None] * len(calls), 0.0)


def _run_joined(
    model: ServedModel, calls: Sequence[Call]
) -> list[Arrays | Exception] | None:
    """Run the calls as one batch; give each its rows, or nothing to any."""
    try:
        joined = {
            name: np.concatenate([call.inputs[name] for call in calls])
            for name in calls[0].inputs
        }
        outputs = model.session.run(joined, calls[0].outputs)
    except OverrunError:
        raise
    except (ModelError, ValueError, MemoryError):
        return None
    rows = sum([call.rows for call in calls])
    if any(len(array) != rows for array in outputs.values()):
        return None  # a model may drop rows, and nobody could say whose
    return _divide(calls, outputs)


def _divide(calls: Sequence[Call], outputs: Arrays) -> list[Arrays | Exception]:
    """Give each call its rows."""
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
    if model.failures:
        model.succeeded()
    try:
        return call.encode(given), "ok"
    except MalformedError as error:
        return refusal(error, model.headers), "malformed"
    except Exception as error:  # noqa: BLE001 - the server's last handler
        return mistake(error, model.headers), "model_failed"
