"""Requests that are run together get what each would have got alone."""

import asyncio
import gc
import json
import weakref

import numpy as np
from onnx import TensorProto, helper

from edge_runtime.inference.batcher import Queue
from edge_runtime.models.run_plan import RunPlan
from edge_runtime.run_watch import RunWatch
from edge_runtime.threads import Threads
from tests.edge_runtime.inference.test_batcher import (
    Asked,
    loop_model,
    put_all,
    queue_for,
    rows,
    serve,
)
from tests.models import onnx_bytes, tiny_model

JOINED = RunPlan(rows_max=8)
value = helper.make_tensor_value_info


def run_all(model, asked_of, *, ahead_max=64):
    """Put calls into a queue in one go; return (reply, outcome) of each."""

    async def main():
        queue = queue_for(model, Threads(2, "test"), ahead_max=ahead_max)
        return await put_all(queue, asked_of())

    return asyncio.run(main())


def numbers(outcome):
    reply, word = outcome
    assert (reply.status, word) == (200, "ok"), reply.body
    return json.loads(reply.body)["y"]


def product_model():
    return onnx_bytes(
        [helper.make_node("Mul", ["a", "b"], ["y"])],
        [
            value("a", TensorProto.FLOAT, ["n", "k"]),
            value("b", TensorProto.FLOAT, ["n", "k"]),
        ],
        [value("y", TensorProto.FLOAT, ["n", "k"])],
    )


def column(*values):
    return np.array([[v] for v in values], np.float32)


def test_inputs_of_different_lengths_never_meet_those_of_others(tmp_path):
    model = serve(tmp_path, product_model(), JOINED, {"a": column(1), "b": column(1)})

    def asked():
        return [
            Asked(model, {"a": column(2), "b": column(3, 4)}),
            Asked(model, {"a": column(5, 6), "b": column(7)}),
        ]

    first, second = run_all(model, asked)
    assert numbers(first) == [[6.0], [8.0]]
    assert numbers(second) == [[35.0], [42.0]]


def test_inputs_may_stand_in_any_order(tmp_path):
    model = serve(tmp_path, product_model(), JOINED, {"a": column(1), "b": column(1)})
    wide = np.array([[10, 20]], np.float32)

    def asked():
        return [
            Asked(model, {"a": column(2), "b": wide}),
            Asked(model, {"b": wide, "a": column(4)}),
            Asked(model, {"b": column(3), "a": wide}),
        ]

    outcomes = run_all(model, asked)
    assert [numbers(o) for o in outcomes] == [[[20, 40]], [[40, 80]], [[30, 60]]]
    assert model.measures.batch_rows.count == 2


def test_a_model_that_drops_rows_gives_nobody_those_of_others(tmp_path):
    positive = onnx_bytes(
        [
            helper.make_node("Greater", ["x", "zero"], ["is_kept"]),
            helper.make_node("Compress", ["x", "is_kept"], ["y"], axis=0),
        ],
        [value("x", TensorProto.FLOAT, ["n"])],
        [value("y", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])],
    )
    model = serve(tmp_path, positive, JOINED, {"x": np.ones(1, np.float32)})

    def asked():
        inputs = [[1.0, -1.0], [2.0], [3.0]]
        return [Asked(model, {"x": np.array(i, np.float32)}) for i in inputs]

    assert [numbers(o) for o in run_all(model, asked)] == [[1.0], [2.0], [3.0]]


def test_an_answer_that_cannot_be_written_harms_nobody_else(tmp_path):
    model = serve(tmp_path, tiny_model(), JOINED)

    def broken(_given):
        raise ZeroDivisionError

    def asked():
        three = [Asked(model, rows(i)) for i in range(3)]
        three[1].call.encode = broken
        return three

    outcomes = run_all(model, asked)
    assert [reply.status for reply, _ in outcomes] == [200, 500, 200]


def test_a_note_that_fails_keeps_nobody_waiting(tmp_path):
    model = serve(tmp_path, tiny_model(), JOINED)

    def note(*_heard):
        raise MemoryError

    async def main():
        threads = Threads(2, "test")
        queue = Queue(model, threads, ahead_max=64, rows_max=8, note=note)
        async with asyncio.timeout(5.0):
            return await put_all(queue, [Asked(model, rows(i)) for i in range(3)])

    assert len(asyncio.run(main())) == 3


def test_batches_are_counted_as_they_will_be_run(tmp_path):
    free = onnx_bytes(
        [helper.make_node("Neg", ["x"], ["y"])],
        [value("x", TensorProto.FLOAT, ["n", "k"])],
        [value("y", TensorProto.FLOAT, ["n", "k"])],
    )
    model = serve(tmp_path, free, JOINED)

    def asked():
        shapes = [(1, 2 + i % 2) for i in range(12)]
        return [Asked(model, {"x": np.ones(s, np.float32)}) for s in shapes]

    outcomes = run_all(model, asked, ahead_max=3)
    words = [word for _, word in outcomes]
    # What still finds its like at the end of the queue makes it no longer.
    assert words == ["ok"] * 4 + ["overloaded", "ok"] * 4
    assert model.measures.batches_ahead.total == 0 + 1 + 2 + 3 + 4 * 3


def test_who_gave_up_waiting_leaves_nothing_in_the_queue(tmp_path):
    model = serve(tmp_path, loop_model(), RunPlan(is_slow=True), watch=RunWatch(1.0))

    async def main():
        queue = queue_for(model, Threads(2, "test"), ahead_max=2)
        busy = [Asked(model, {"x": np.array(2**40)}) for _ in range(2)]
        for one in busy:
            queue.put(one.call)
        await asyncio.sleep(0)
        array = np.array(3)
        gone = weakref.ref(array)
        late = Asked(model, {"x": array}, timeout_s=0.01)
        queue.put(late.call)
        await late.outcome
        del array, late
        gc.collect()
        is_free = gone() is None
        other = Asked(model, {"x": np.array(3)})
        queue.put(other.call)
        outcomes = [await one.outcome for one in (*busy, other)]
        return is_free, [word for _, word in outcomes]

    assert asyncio.run(main()) == (True, ["stopped", "stopped", "ok"])
