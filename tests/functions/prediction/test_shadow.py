"""What shadow runs find, what they cost, and that nobody waits for them."""

import asyncio
import base64
import json
import socket
import threading
import time

import pytest

from functions.prediction import shadow as shadow_module
from functions.prediction import shadow_run
from functions.prediction.candidates import ANSWER_MAX_BYTES
from functions.prediction.shadow import (
    HELD_MAX_BYTES,
    RUNS_MAX,
    SAME_MAX,
    Shadow,
)
from functions.release.shadows import decode_shadow_report
from packhorse.names import Release
from packhorse.tolerance import Tolerance
from tests.functions.adapters.raw_upstream import LOOPS, Scene
from tests.functions.prediction.shadow_scene import (
    CANDIDATE,
    WAIT_S,
    Endpoint,
    Play,
    live,
    predictions,
    send,
)

pytestmark = pytest.mark.usefixtures("google_account")
LIMITS = {"connections_max": 32, "answer_max_bytes": ANSWER_MAX_BYTES}


@pytest.fixture
def endpoint():
    with Endpoint() as found:
        yield found


@pytest.fixture
def act(endpoint):
    """Run `play(Play)` on uvloop, with everything real."""

    def run(play, **options):
        async def scene(upstream):
            found = Play(endpoint, upstream, **options)
            try:
                return await play(found)
            finally:
                await found.flush()

        return Scene(LOOPS["uvloop"]).run(scene, **LIMITS)

    return run


def test_the_candidate_gets_the_very_request_and_agreement_is_logged(act, endpoint):
    async def play(scene):
        await scene.one(body=b'{"instances": [[1, 2]]}', live_s=0.0123)
        return scene.written("shadow done")

    (line,) = act(play)

    ((head, body),) = endpoint.asked
    assert head.startswith(f"POST /v1/{CANDIDATE}:rawPredict HTTP/1.1\r\n".encode())
    assert b"\r\ncontent-type: application/json\r\n" in head.lower()
    assert b"\r\nauthorization: bearer " in head.lower()
    assert body == b'{"instances": [[1, 2]]}'
    assert 0 < line.pop("shadow_ms") < 1000 * WAIT_S
    assert line == {
        "model": "magika",
        "live_release": "magika@1",
        "candidate_release": "magika@2",
        "live_ms": 12.3,
        "request_id": "r-1",
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
        "reason": "",
        "agrees": True,
        "largest_difference": 0.0,
    }


def test_a_difference_is_logged_with_its_reason(act, endpoint):
    endpoint.answer = (200, "7", predictions([0.6, 0.4]))

    async def play(scene):
        await scene.one()
        return scene.written("shadow done")

    (line,) = act(play)

    assert line["agrees"] is False
    assert line["reason"].startswith("output 'predictions' has another greatest")
    assert line["largest_difference"] == pytest.approx(0.5)


def test_tolerances_are_those_of_the_model(act, endpoint):
    endpoint.answer = (200, "7", predictions([0.6, 0.4]))

    async def play(scene):
        await scene.one()
        return scene.written("shadow done")

    (line,) = act(play, tolerances={"magika": {"probs": Tolerance(0.6, 0.0)}})

    assert line["agrees"] is True


def test_a_long_answer_is_compared_too(act, endpoint):
    rows = [index / 7 for index in range(20_000)]
    endpoint.answer = (200, "7", predictions(*rows[:-1], 5e6))

    async def play(scene):
        await scene.one(live(predictions(*rows)))
        await scene.one(live(predictions(*rows[:-1], 5e6)))
        return scene.written("shadow done")

    first, second = act(play)

    assert not first["agrees"]
    assert second["agrees"]


def test_the_share_decides_how_many_are_shadowed(act, endpoint):
    async def play(scene):
        runs = 0
        for _ in range(400):
            run = scene.begin()
            if run is not None:
                runs += 1
                run.compare_with(live(), "magika@1", 0.01)
                await asyncio.wait([run.end])
        return runs

    assert 60 < act(play, share=0.25) < 140


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["no share", "no candidate"])
def test_without_a_share_or_a_candidate_there_is_no_run(act, endpoint, share):
    async def play(scene):
        if share:
            object.__setattr__(scene.model, "candidate", None)
        return scene.begin()

    assert act(play, share=share) is None
    assert not endpoint.asked


def test_the_live_answer_waits_for_nothing(act, endpoint):
    gate = threading.Event()
    endpoint.answer = lambda connection: (
        gate.wait(WAIT_S),
        send(connection, 200, predictions([0.1, 0.9]), "7"),
    )

    async def play(scene):
        run = scene.begin()
        began = time.monotonic()
        run.compare_with(live(), "magika@1", 0.01)
        took = time.monotonic() - began
        await asyncio.to_thread(until, lambda: endpoint.asked)
        is_under_way = not run.end.done()
        gate.set()
        await asyncio.wait([run.end])
        return took, is_under_way

    took, is_under_way = act(play)

    assert took < 0.1
    assert is_under_way


def test_a_run_that_outlasts_the_live_answer_ends_at_its_limit(
    act, endpoint, monkeypatch
):
    monkeypatch.setattr(shadow_run, "LIMIT_S", 0.1)
    gate = threading.Event()
    endpoint.answer = lambda connection: gate.wait(WAIT_S)

    async def play(scene):
        # Its own time on this endpoint would be 20 s.
        await scene.one()
        gate.set()
        return scene.shadow.counts, scene.written("shadow late")

    counts, lines = act(play)

    assert counts == {"late": 1}
    assert lines[0]["live_release"] == "magika@1"


def test_a_run_ends_with_a_live_call_that_failed(act, endpoint):
    async def play(scene):
        run = scene.begin()
        run.forget()
        await asyncio.wait([run.end])
        return scene.shadow.counts, scene.lines

    counts, lines = act(play)

    assert counts == {"no_live_answer": 1}
    assert [event for event, _ in lines] == ["shadow counts"]


def test_a_run_that_nobody_ends_is_ended_after_the_live_calls_deadline(
    act, endpoint, monkeypatch
):
    monkeypatch.setattr(shadow_run, "LIMIT_S", 0.05)

    async def play(scene):
        run = scene.begin(deadline=scene.loop.time() + 0.05)
        await asyncio.wait([run.end], timeout=WAIT_S)
        return scene.shadow.counts

    assert act(play) == {"no_live_answer": 1}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_live_answer_that_is_a_failure_is_compared_with_nothing(act, status):
    async def play(scene):
        await scene.one(live(b"{}", status))
        return scene.shadow.counts

    assert act(play) == {"no_live_answer": 1}


@pytest.mark.parametrize("status", [401, 429, 502, 503, 504])
def test_an_endpoint_that_is_overloaded_says_nothing_of_the_release(
    act, endpoint, status
):
    async def play(scene):
        await scene.one()
        endpoint.answer = (status, "", b"{}")
        await scene.one()
        await scene.flush()
        return scene.shadow.counts

    assert act(play, every_s=3600.0) == {"done": 1, "failed": 1}
    (report,) = reports(endpoint)
    assert (report.counts.agreed, report.counts.differed) == (1, 0)
    assert report.counts.failed == 1


def test_a_candidate_that_fails_on_what_is_answered_live_disagrees(act, endpoint):
    endpoint.answer = (500, "7", b"it crashed")

    async def play(scene):
        await scene.one()
        return scene.written("shadow done")

    (line,) = act(play)

    assert line["reason"] == "it answered 500, the live one 200"


def test_a_connection_that_breaks_is_a_failure_and_is_not_tried_again(act, endpoint):
    endpoint.answer = lambda connection: connection.shutdown(socket.SHUT_RDWR)

    async def play(scene):
        await scene.one()
        return scene.shadow.counts

    assert act(play) == {"failed": 1}
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error": {"status": "FAILED_PRECONDITION"}}'),
        (404, b'{"error": {"status": "NOT_FOUND"}}'),
        (403, b"{}"),
    ],
)
def test_where_nothing_is_deployed_it_is_left_alone_for_a_minute(
    act, endpoint, status, body
):
    endpoint.answer = (status, "", body)

    async def play(scene):
        await scene.one()
        again = scene.begin()
        return scene.shadow.counts, again

    counts, again = act(play)

    assert again is None
    assert counts == {"nothing_deployed": 1, "paused": 1}


def test_after_the_pause_it_is_asked_again(act, endpoint, monkeypatch):
    monkeypatch.setattr(shadow_module, "PAUSE_S", 0.0)
    endpoint.answer = (404, "", b"{}")

    async def play(scene):
        await scene.one()
        endpoint.answer = (200, "7", predictions([0.1, 0.9]))
        await scene.one()
        return scene.shadow.counts

    assert act(play) == {"nothing_deployed": 1, "done": 1}


def test_a_refusal_of_the_release_itself_is_compared(act, endpoint):
    endpoint.answer = (400, "7", b"FAILED_PRECONDITION, says the model")

    async def play(scene):
        await scene.one()
        return scene.written("shadow done")

    assert act(play)[0]["agrees"] is False


def test_the_release_that_answers_live_is_not_compared_with_itself(act, endpoint):
    async def play(scene):
        for _ in range(SAME_MAX):
            await scene.one(release="magika@2")
        return scene.begin(), scene.shadow.counts, scene.sums.is_empty

    again, counts, is_empty = act(play)

    assert again is None
    assert counts == {"same_release": SAME_MAX, "paused": 1}
    assert is_empty


def test_a_split_of_traffic_does_not_pause_the_comparison(act, endpoint):
    async def play(scene):
        for _ in range(SAME_MAX):
            await scene.one(release="magika@2")
            await scene.one(release="magika@1")
        return scene.shadow.counts

    assert act(play) == {"same_release": SAME_MAX, "done": SAME_MAX}


@pytest.mark.parametrize(
    ("release", "deployed"), [("", {"7": "magika@2"}), ("magika@1", {})]
)
def test_what_nobody_knows_the_release_of_counts_for_none(
    act, endpoint, release, deployed
):
    endpoint.deployed = deployed

    async def play(scene):
        await scene.one(release=release)
        return scene.shadow.counts, scene.sums.is_empty

    assert act(play) == ({"unknown_release": 1}, True)


def test_a_name_that_is_no_release_is_in_no_sum(act, endpoint):
    endpoint.deployed = {"7": "my model"}

    async def play(scene):
        await scene.one()
        return scene.shadow.counts, scene.sums.is_empty

    assert act(play) == ({"done": 1, "unknown_release": 1}, True)


def test_an_answer_that_names_no_deployed_model_counts_for_none(act, endpoint):
    endpoint.answer = (200, "", predictions([0.1, 0.9]))

    async def play(scene):
        await scene.one()
        return scene.shadow.counts

    assert act(play) == {"unknown_release": 1}


def test_what_is_handed_over_when_all_is_done_changes_nothing(act, endpoint):
    async def play(scene):
        run = scene.begin()
        run.compare_with(live(), "magika@1", 0.01)
        run.compare_with(live(b"{}", 500), "magika@3", 0.01)
        await asyncio.wait([run.end])
        run.compare_with(live(), "magika@3", 0.01)
        run.forget()
        return scene.shadow.counts, scene.written("shadow done")

    counts, (line,) = act(play)

    assert counts == {"done": 1}
    assert line["live_release"] == "magika@1"


def test_without_anybody_to_report_to_there_is_the_log_alone(act, endpoint):
    async def play(scene):
        scene.shadow = Shadow(
            scene.tools, scene.sums, None, lambda *said: scene.lines.append(said)
        )
        await scene.one()
        await scene.flush()
        return scene.written("shadow done")

    assert len(act(play)) == 1
    assert not endpoint.published


def test_more_runs_than_there_may_be_are_not_begun(act, endpoint):
    gate = threading.Event()
    endpoint.answer = lambda connection: (
        gate.wait(WAIT_S),
        send(connection, 200, predictions([0.1, 0.9]), "7"),
    )

    async def play(scene):
        runs = [scene.begin() for _ in range(RUNS_MAX)]
        more = scene.begin()
        gate.set()
        for run in runs:
            run.compare_with(live(), "magika@1", 0.01)
        await asyncio.wait([run.end for run in runs])
        after = scene.begin()
        after.forget()
        await asyncio.wait([after.end])
        return more, scene.shadow.counts

    more, counts = act(play)

    assert more is None
    assert (counts["busy"], counts["done"]) == (1, RUNS_MAX)


def test_what_runs_hold_is_bounded(act, endpoint):
    body = bytes(1_400_000)

    async def play(scene):
        runs = [scene.begin(body) for _ in range(HELD_MAX_BYTES // len(body) + 1)]
        for run in runs[:-1]:
            run.forget()
        await asyncio.wait([run.end for run in runs[:-1]])
        return runs[-1], scene.shadow.counts["full"]

    assert act(play) == (None, 1)


def test_a_request_that_the_candidate_would_not_take_is_not_sent(act, endpoint):
    async def play(scene):
        return scene.begin(bytes(1_500_001)), scene.shadow.counts

    assert act(play) == (None, {"too_long": 1})


def test_a_live_answer_that_is_too_long_to_hold_ends_the_run(act, endpoint):
    async def play(scene):
        await scene.one(live(bytes(ANSWER_MAX_BYTES + 1)))
        return scene.shadow.counts

    assert act(play) == {"too_large": 1}


def test_a_standstill_is_not_told_as_latency_and_agreement_is_kept(act, endpoint):
    """The loop stands still as it does where the processor is taken away."""
    is_asked, gate = threading.Event(), threading.Event()

    def answer(connection):
        is_asked.set()
        gate.wait(WAIT_S)
        send(connection, 200, predictions([0.1, 0.9]), "7")

    endpoint.answer = answer

    async def play(scene):
        run = scene.begin()
        run.compare_with(live(), "magika@1", 0.01)
        await asyncio.to_thread(is_asked.wait, WAIT_S)
        gate.set()
        time.sleep(0.5)  # noqa: ASYNC251 - that is the standstill
        await asyncio.wait([run.end])
        await scene.flush()
        return scene.written("shadow done")

    (line,) = act(play)

    assert line["agrees"] is True
    assert line["shadow_ms"] is None
    (report,) = reports(endpoint)
    assert (report.counts.agreed, report.counts.timed) == (1, 0)
    assert (report.counts.live_s, report.counts.shadow_s) == (0.0, 0.0)


def test_a_limit_that_passed_in_a_standstill_does_not_end_a_run_at_once(
    act, endpoint, monkeypatch
):
    monkeypatch.setattr(shadow_run, "LIMIT_S", 0.2)
    is_asked, gate = threading.Event(), threading.Event()

    def answer(connection):
        is_asked.set()
        gate.wait(WAIT_S)
        send(connection, 200, predictions([0.1, 0.9]), "7")

    endpoint.answer = answer

    async def play(scene):
        run = scene.begin()
        run.compare_with(live(), "magika@1", 0.01)
        await asyncio.to_thread(is_asked.wait, WAIT_S)
        time.sleep(0.5)  # noqa: ASYNC251 - that is the standstill
        scene.loop.call_later(0.05, gate.set)
        await asyncio.wait([run.end])
        return scene.shadow.counts

    assert act(play) == {"done": 1}


def test_after_a_standstill_no_answer_is_nobodys_failure(act, endpoint, monkeypatch):
    monkeypatch.setattr(shadow_run, "LIMIT_S", 0.2)
    monkeypatch.setattr(shadow_run, "_MORE_S", 0.05)
    is_asked, gate = threading.Event(), threading.Event()

    def answer(connection):
        is_asked.set()
        gate.wait(WAIT_S)

    endpoint.answer = answer

    async def play(scene):
        run = scene.begin()
        run.compare_with(live(), "magika@1", 0.01)
        await asyncio.to_thread(is_asked.wait, WAIT_S)
        time.sleep(0.5)  # noqa: ASYNC251 - that is the standstill
        await asyncio.wait([run.end])
        gate.set()
        return scene.shadow.counts

    assert act(play) == {"frozen": 1}


def test_sums_are_reported_while_a_request_is_answered(act, endpoint):
    async def play(scene):
        await scene.one()
        endpoint.answer = (200, "7", predictions([0.6, 0.4]))
        await scene.one()
        scene.begin().forget()  # a request that finds sums which are due
        await asyncio.to_thread(until, lambda: endpoint.published)
        await scene.flush()
        return scene.sums.is_empty

    assert act(play)
    heads = [head for head, _ in endpoint.published]
    assert heads[0].startswith(b"POST /v1/projects/p/topics/shadows:publish HTTP/1.1")
    # No token goes where there is no TLS.
    assert all(b"authorization" not in head.lower() for head in heads)
    found = reports(endpoint)
    assert {report.candidate for report in found} == {Release("magika", 2)}
    assert sum(report.counts.agreed for report in found) == 1
    assert sum(report.counts.differed for report in found) == 1
    assert len({report.id for report in found}) == len(found)


def test_what_pubsub_does_not_take_goes_again_with_the_same_id(act, endpoint):
    endpoint.pubsub_status = 503

    async def play(scene):
        await scene.one()
        await scene.flush()
        await scene.flush()
        endpoint.pubsub_status = 200
        await scene.flush()
        await scene.flush()
        return scene.written("shadow sums kept back")

    lines = act(play, every_s=3600.0)

    assert lines == [{"reason": "Pub/Sub answered 503"}]
    first, second, third = reports(endpoint)
    assert first == second == third


def test_at_the_end_what_was_kept_back_and_what_is_new_both_leave(act, endpoint):
    endpoint.pubsub_status = 503

    async def play(scene):
        await scene.one()
        await scene.flush()
        await scene.one()
        endpoint.pubsub_status = 200
        await scene.flush()
        return scene.sums.is_empty

    assert act(play, every_s=3600.0)
    kept_back, again, new = reports(endpoint)
    assert kept_back == again
    assert new.counts.agreed == 1
    assert new.id != again.id


@pytest.mark.parametrize("is_on_its_way", [True, False])
def test_a_pubsub_that_stalls_keeps_no_process_from_its_end(
    act, endpoint, is_on_its_way
):
    gate = threading.Event()
    endpoint.pubsub_stalls = gate

    async def play(scene):
        await scene.one()
        if is_on_its_way:
            scene.begin().forget()
        began_s = scene.loop.time()
        await scene.shadow.drain(deadline=began_s + 0.3)
        took_s = scene.loop.time() - began_s
        gate.set()
        return took_s

    assert 0.2 < act(play, every_s=0.0 if is_on_its_way else 3600.0) < 2.0


def test_reports_leave_no_more_often_than_they_should(act, endpoint):
    async def play(scene):
        for _ in range(5):
            await scene.one()
        return len(endpoint.published)

    assert act(play, every_s=3600.0) == 0


def test_the_counts_are_logged_now_and_then(act, endpoint):
    async def play(scene):
        for _ in range(3):
            await scene.one()
        return scene.written("shadow counts")

    assert act(play) == [{"counts": {"done": 1}}]


def test_a_crash_in_a_run_is_counted_and_reaches_nobody(act, endpoint, monkeypatch):
    async def crash(*_):
        raise RuntimeError("secret")

    async def play(scene):
        scene.tools.comparer.compare = crash
        await scene.one()
        return scene.shadow.counts, scene.written("shadow crashed")

    counts, (line,) = act(play)

    assert counts == {"crashed": 1}
    assert line["reason"] == "RuntimeError"


def until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def reports(endpoint):
    return [
        decode_shadow_report(base64.b64decode(message["data"]))
        for _, body in endpoint.published
        for message in json.loads(body)["messages"]
    ]
