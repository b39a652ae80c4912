"""One model's queue: what is joined, what waits, who is told that it is late."""

import asyncio
import json
import time

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_runtime.http.envelope import PLAIN
from edge_runtime.http.replies import json_reply
from edge_runtime.inference.batcher import Queue
from edge_runtime.inference.calls import Call
from edge_runtime.model_session import ModelSession
from edge_runtime.models.run_plan import RunPlan
from edge_runtime.models.served_model import ServedModel
from edge_runtime.run_watch import RunWatch
from edge_runtime.threads import Threads
from tests.models import onnx_bytes, tiny_answer, tiny_model

JOINED = RunPlan(rows_max=8)
SLOW = RunPlan(rows_max=8, is_slow=True)


@pytest.fixture
def pool():
    threads = Threads(2, "test")
    yield threads
    threads.shut_down()


def serve(tmp_path, model, plan, sample=None, **session):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    session = ModelSession(path, **session)
    return ServedModel("tiny", "1", session, plan, "test", sample or rows(1))


class Asked:
    """A call, and what it was answered."""

    def __init__(self, model, inputs, *, timeout_s=None, outputs=None):
        self.outcome = asyncio.get_running_loop().create_future()
        self.call = Call(
            model,
            inputs,
            outputs,
            lambda given: json_reply(200, {n: a.tolist() for n, a in given.items()}),
            PLAIN,
            timeout_s,
            arrived_s=time.perf_counter(),
            done=lambda reply, outcome: self.outcome.set_result((reply, outcome)),
        )


def rows(*values):
    return {"x": np.array([[v, 0, 0, 0] for v in values], np.float32)}


def queue_for(model, pool, *, ahead_max=64, rows_max=8, notes=None):
    def note(*heard):
        if notes is not None:
            notes.append(heard)

    return Queue(model, pool, ahead_max=ahead_max, rows_max=rows_max, note=note)


async def put_all(queue, asked):
    for one in asked:
        queue.put(one.call)
    return [await one.outcome for one in asked]


def answer_of(outcome):
    reply, word = outcome
    assert (reply.status, word) == (200, "ok"), reply.body
    return np.array(json.loads(reply.body)["y"])


def test_what_one_wake_up_finds_is_run_as_one_batch(tmp_path, pool):
    model = serve(tmp_path, tiny_model(), JOINED)

    async def main():
        asked = [Asked(model, rows(i)) for i in range(5)]
        return await put_all(queue_for(model, pool), asked)

    outcomes = asyncio.run(main())
    for value, outcome in enumerate(outcomes):
        expected = tiny_answer([[value, 0, 0, 0]])
        assert answer_of(outcome) == pytest.approx(expected, rel=1e-5)
    assert model.measures.batch_rows.count == 1
    assert model.measures.rows == 5


def test_a_batch_holds_no_more_rows_than_it_may(tmp_path, pool):
    model = serve(tmp_path, tiny_model(), JOINED)

    async def main():
        asked = [Asked(model, rows(1, 2, 3)) for _ in range(5)]
        return await put_all(queue_for(model, pool), asked)

    outcomes = asyncio.run(main())
    assert all(answer_of(outcome).shape == (3, 3) for outcome in outcomes)
    assert model.measures.batch_rows.total == 15
    assert model.measures.batch_rows.count == 3


def test_a_request_larger_than_a_batch_is_run_alone(tmp_path, pool):
    model = serve(tmp_path, tiny_model(), JOINED)

    async def main():
        asked = [Asked(model, rows(1)), Asked(model, rows(*range(20)))]
        return await put_all(queue_for(model, pool), asked)

    small, large = asyncio.run(main())
    assert answer_of(small).shape == (1, 3)
    assert answer_of(large).shape == (20, 3)


def test_requests_for_other_outputs_or_shapes_are_not_joined(tmp_path, pool):
    value = helper.make_tensor_value_info
    free = onnx_bytes(
        [helper.make_node("Neg", ["x"], ["y"])],
        [value("x", TensorProto.FLOAT, ["n", "k"])],
        [value("y", TensorProto.FLOAT, ["n", "k"])],
    )
    model = serve(tmp_path, free, JOINED)

    async def main():
        wide, narrow = np.ones((1, 4), np.float32), np.ones((1, 2), np.float32)
        asked = [Asked(model, {"x": a}) for a in (wide, narrow, wide)]
        asked.append(Asked(model, {"x": wide}, outputs=("y",)))
        return await put_all(queue_for(model, pool), asked)

    shapes = [answer_of(outcome).shape for outcome in asyncio.run(main())]
    assert shapes == [(1, 4), (1, 2), (1, 4), (1, 4)]
    assert model.measures.batch_rows.count == 4


def sum_model(*axes):
    """Return y = a + b, of rows whose further axes are given."""
    value = helper.make_tensor_value_info
    return onnx_bytes(
        [helper.make_node("Add", ["a", "b"], ["y"])],
        [value(name, TensorProto.FLOAT, ["n", *axes]) for name in ("a", "b")],
        [value("y", TensorProto.FLOAT, ["n", *axes])],
    )


def pair(a, b):
    """Return inputs of as many rows, each of one number."""
    return {"a": np.full((a, 1), a, np.float32), "b": np.full((b, 1), b, np.float32)}


def test_a_request_whose_inputs_differ_in_rows_never_shifts_the_rows_of_others(
    tmp_path, pool
):
    model = serve(tmp_path, sum_model(1), JOINED, pair(1, 1))

    async def main():
        asked = [Asked(model, pair(*count)) for count in ((1, 3), (2, 2), (3, 1))]
        return await put_all(queue_for(model, pool), asked)

    answers = [answer_of(outcome) for outcome in asyncio.run(main())]
    assert [a.ravel().tolist() for a in answers] == [[4, 4, 4], [4, 4], [4, 4, 4]]


def test_the_order_of_a_requests_inputs_says_nothing_of_their_shapes(tmp_path, pool):
    model = serve(tmp_path, sum_model("k"), JOINED, pair(1, 1))

    async def main():
        wide = {"a": np.ones((1, 2), np.float32), "b": np.ones((1, 1), np.float32)}
        other = {"b": wide["a"], "a": wide["b"]}
        asked = [Asked(model, inputs) for inputs in (wide, other)]
        return await put_all(queue_for(model, pool), asked)

    answers = [answer_of(outcome) for outcome in asyncio.run(main())]
    assert [a.tolist() for a in answers] == [[[2.0, 2.0]], [[2.0, 2.0]]]


def gather_model():
    value = helper.make_tensor_value_info
    table = helper.make_tensor("t", TensorProto.FLOAT, [2], [10.0, 20.0])
    return onnx_bytes(
        [helper.make_node("Gather", ["t", "x"], ["y"])],
        [value("x", TensorProto.INT64, ["n"])],
        [value("y", TensorProto.FLOAT, ["n"])],
        [table],
    )


def test_one_bad_input_harms_nobody_who_came_with_it(tmp_path, pool):
    model = serve(tmp_path, gather_model(), JOINED, {"x": np.array([0])})

    async def main():
        asked = [Asked(model, {"x": np.array([index])}) for index in (0, 7, 1)]
        return await put_all(queue_for(model, pool), asked)

    first, bad, last = asyncio.run(main())
    assert (answer_of(first)[0], answer_of(last)[0]) == (10.0, 20.0)
    assert (bad[0].status, bad[1]) == (400, "malformed")
    assert b"cannot compute this input" in bad[0].body
    assert model.is_ready


@pytest.mark.parametrize("plan", [JOINED, SLOW])
def test_who_would_stand_behind_too_many_batches_is_told_so_at_once(
    tmp_path, pool, plan
):
    model = serve(tmp_path, tiny_model(), plan)

    async def main():
        queue = queue_for(model, pool, ahead_max=2, rows_max=1)
        return await put_all(queue, [Asked(model, rows(i)) for i in range(10)])

    outcomes = asyncio.run(main())
    assert [word for _, word in outcomes] == ["ok"] * 3 + ["overloaded"] * 7
    assert outcomes[-1][0].status == 503
    assert ("Retry-After", "1") in outcomes[-1][0].headers
    assert model.measures.batches_ahead.count == 3


def loop_model():
    """Return a model that counts to x, one by one."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["a", "one"], ["a_out"]),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("a", TensorProto.FLOAT, [1]),
        ],
        [value("go_on", TensorProto.BOOL, []), value("a_out", TensorProto.FLOAT, [1])],
        [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])],
    )
    return onnx_bytes(
        [helper.make_node("Loop", ["x", "go", "zero"], ["y"], body=body)],
        [value("x", TensorProto.INT64, [])],
        [value("y", TensorProto.FLOAT, [1])],
        [
            helper.make_tensor("go", TensorProto.BOOL, [], [True]),
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
        ],
    )


def test_nobody_waits_past_the_time_that_a_request_allows(tmp_path, pool):
    watch = RunWatch(2.0)
    model = serve(tmp_path, loop_model(), RunPlan(is_slow=True), watch=watch)
    endless = {"x": np.array(2**40)}

    async def main():
        queue = queue_for(model, pool)
        asked = [Asked(model, endless, timeout_s=t) for t in (0.3, None, 0.2)]
        asked.append(Asked(model, {"x": np.array(3)}, timeout_s=0.1))
        begun_s = time.perf_counter()
        for one in asked:
            queue.put(one.call)
        late = [await asked[i].outcome for i in (3, 2, 0)]
        return late, time.perf_counter() - begun_s, await asked[1].outcome

    late, took_s, stopped = asyncio.run(main())
    assert [(reply.status, word) for reply, word in late] == [(504, "late")] * 3
    assert took_s < 1.5
    assert (stopped[0].status, stopped[1]) == (504, "stopped")


def test_a_run_that_is_too_long_for_the_loop_is_run_again_in_a_thread(tmp_path, pool):
    watch = RunWatch(20.0)
    model = serve(tmp_path, loop_model(), RunPlan(), watch=watch)

    async def main():
        watch.shorten_here(0.05)
        asked = [Asked(model, {"x": np.array(2**18)}), Asked(model, {"x": np.array(3)})]
        return await put_all(queue_for(model, pool), asked)

    first, second = asyncio.run(main())
    assert (answer_of(first)[0], answer_of(second)[0]) == (2.0**18, 3.0)


def test_rows_are_counted_where_requests_are_never_joined_too(tmp_path, pool):
    model = serve(tmp_path, tiny_model(), RunPlan())
    none = {"x": np.zeros((0, 4), np.float32)}

    async def main():
        asked = [Asked(model, rows(1, 2, 3)), Asked(model, none), Asked(model, rows(4))]
        return await put_all(queue_for(model, pool), asked)

    counts = [len(answer_of(outcome)) for outcome in asyncio.run(main())]
    assert counts == [3, 0, 1]
    assert (model.measures.rows, model.measures.batch_rows.count) == (4, 3)


def test_a_request_without_rows_counts_as_one(tmp_path, pool):
    model = serve(tmp_path, loop_model(), RunPlan())

    async def main():
        return await put_all(queue_for(model, pool), [Asked(model, {"x": np.array(3)})])

    asyncio.run(main())
    assert model.measures.rows == 1


def test_the_log_hears_of_every_run(tmp_path, pool):
    model = serve(tmp_path, tiny_model(), JOINED)
    notes = []

    async def main():
        queue = queue_for(model, pool, notes=notes)
        await put_all(queue, [Asked(model, rows(i)) for i in range(3)])

    asyncio.run(main())
    assert len(notes) == 3
    call, outputs, outcome, queue_s, compute_s = notes[1]
    assert call.inputs["x"][0][0] == 1.0
    assert outputs["y"].shape == (1, 3)
    assert outcome == "ok"
    assert queue_s > 0.0
    assert compute_s > 0.0
