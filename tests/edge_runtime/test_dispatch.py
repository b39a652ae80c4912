"""What the dispatch lets go of, and whom it leaves waiting: nobody."""

import asyncio
import gc
import threading
import time
import weakref

import numpy as np

from edge_runtime.counts import Counts
from edge_runtime.dispatch import Dispatch, Watchers
from edge_runtime.inference.calls import decode_infer
from edge_runtime.models.run_plan import RunPlan
from edge_runtime.routes import Infer
from edge_runtime.run_watch import RunWatch
from edge_runtime.settings.serve_settings import Limits
from tests.edge_runtime.inference.test_batcher import Asked, loop_model, serve

ENDLESS = 2**40


def make_dispatch(routes):
    watchers = Watchers(Counts(), lambda *_heard: None)
    return Dispatch(lambda: dict(routes), lambda: None, watchers, Limits())


def routes_to(model):
    return {(b"POST", b"/x"): Infer("infer", model, decode_infer)}


def test_a_model_that_is_unloaded_while_it_runs_is_let_go_of_after_that(tmp_path):
    async def main():
        slow = RunPlan(is_slow=True)
        model = serve(tmp_path, loop_model(), slow, watch=RunWatch(0.5))
        gone = weakref.ref(model.session)
        routes = routes_to(model)
        dispatch = make_dispatch(routes)
        asked = Asked(model, {"x": np.array(ENDLESS)})
        dispatch.submit(asked.call)
        await asyncio.sleep(0.05)
        routes.clear()
        dispatch.changed()
        _, word = await asked.outcome
        del asked, model
        until_s = time.monotonic() + 10.0
        while gone() is not None and time.monotonic() < until_s:
            # The thread that ran it may still be on its way back.
            await asyncio.sleep(0.02)
            gc.collect()
        is_gone = gone() is None
        dispatch.shut_down()
        return word, is_gone

    assert asyncio.run(main()) == ("stopped", True)


def test_at_the_end_no_thread_is_left_waiting_for_an_answer(tmp_path):
    async def main():
        slow = RunPlan(is_slow=True)
        model = serve(tmp_path, loop_model(), slow, watch=RunWatch(0.5))
        dispatch = make_dispatch(routes_to(model))
        asked = [Asked(model, {"x": np.array(ENDLESS)}) for _ in range(2)]
        for one in asked:
            threading.Thread(target=dispatch.submit, args=[one.call]).start()
        await asyncio.sleep(0.05)
        dispatch.shut_down()
        late = Asked(model, {"x": np.array(3)})
        dispatch.submit(late.call)
        outcomes = [await one.outcome for one in (*asked, late)]
        await asyncio.sleep(0.6)
        return [(reply.status, word) for reply, word in outcomes]

    assert asyncio.run(main()) == [(503, "stopped")] * 3
