"""What the inference log says of a sample of the requests, and what it costs."""

import asyncio
import base64
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import uvloop

from functions.adapters.upstream.client import Answer
from functions.prediction.inference_entry import LINE_MAX_BYTES
from functions.prediction.inference_log import (
    BUSY_SHARE,
    WAITING_MAX,
    WAITING_MAX_BYTES,
    InferenceLog,
)
from packhorse.inference.v2 import InferRequest, encode_response

ROOT = Path(__file__).parents[3]
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
INPUTS = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]}
BODY = json.dumps({"inputs": [INPUTS]}).encode()
SCORES = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
REQUEST = InferRequest("id", {}, None)
ANSWER = Answer(
    200,
    {"content-type": "application/json"},
    encode_response("magika", "2", REQUEST, {"y": SCORES}).body,
)
NOTED = {
    "model": "magika",
    "release": "magika@2",
    "request_id": "r-1",
    "traceparent": TRACEPARENT,
    "body": BODY,
    "content_type": "application/json",
    "answer": ANSWER,
    "outcome": "ok",
    "upstream_s": 0.02,
}


def run(play, ratio=1.0, policy="summary", **options):
    """Play with a log on uvloop; return what was written, and what `play` returned."""
    lines = []

    async def scene():
        log = InferenceLog(ratio, policy, write=lines.append, **options)
        found = await play(log)
        await log.drain(deadline=asyncio.get_running_loop().time() + 20)
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(scene())
    return [json.loads(line) for line in lines], found


def written(policy="summary", **changes):
    async def play(log):
        log.note(**NOTED | changes)

    (line,), _ = run(play, policy=policy)
    return line


def test_an_entry_has_what_the_gateways_prediction_log_has():
    before = time.time()

    line = written()

    at = line.pop("at")
    assert at.endswith("Z")
    assert abs(np.datetime64(at[:-1]).astype(float) / 1e6 - before) < 20
    x = {"min": 1.0, "max": 4.0, "mean": 2.5, "std": 1.25**0.5, "non_finite": 0}
    y = {"min": 0.0, "max": 1.0, "mean": 0.5, "std": pytest.approx(0.15625**0.5)}
    y |= {"non_finite": 0, "top": [[1, 0.75], [0, 1.0]]}
    assert line == {
        "severity": "INFO",
        "event": "prediction",
        "kind": "prediction",
        "model": "magika",
        "version": "2",
        "request_id": "r-1",
        "traceparent": TRACEPARENT,
        "outcome": "ok",
        "queue_s": 0.0,
        "compute_s": 0.02,
        "rows": 2,
        "ratio": 1.0,
        "policy": "summary",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "summary": x}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "summary": y}],
    }


def test_in_full_the_elements_are_there_bit_by_bit():
    line = written("full")

    assert line["policy"] == "full"
    (y,) = line["outputs"]
    assert (y["datatype"], y["shape"], y["data_bytes"]) == ("FP32", [2, 2], 16)
    raw = np.frombuffer(base64.b64decode(y["data"]), np.float32)
    np.testing.assert_array_equal(raw.reshape(2, 2), SCORES)


def test_what_is_too_long_in_full_is_summarised():
    raw = np.zeros(200_000, np.uint8)
    encoded = encode_response(
        "m", "1", REQUEST._replace(binary=frozenset({"y"})), {"y": raw}
    )
    kind = f"application/x;json-header-size={encoded.json_bytes}"
    answer = Answer(200, {"content-type": kind}, encoded.body)

    line = written("full", answer=answer)

    assert line["policy"] == "summary"
    assert line["outputs"][0]["summary"]["max"] == 0


def test_no_line_is_longer_than_cloud_logging_takes_and_what_is_lost_is_counted():
    names = {f"{'n' * 200}{number}": [number] for number in range(1000)}
    body = json.dumps({"instances": [names]}).encode()

    async def play(log):
        log.note(**NOTED | {"body": body})

    (line,), _ = run(play)

    assert line.pop("at")
    assert line == {
        "severity": "INFO",
        "event": "predictions dropped",
        "kind": "dropped",
        "dropped": {"too_large": 1},
    }


def test_texts_are_only_ever_lengths_in_a_summary():
    body = b'{"instances": ["secret"]}'
    line = written(body=body)

    assert "secret" not in json.dumps(line)
    (instances,) = line["inputs"]
    assert instances["name"] == "instances"
    assert instances["summary"]["max_bytes"] == 6


@pytest.mark.parametrize("body", [b"", b"GIF89a", b"{}"])
def test_a_body_without_tensors_has_an_entry_without_inputs(body):
    line = written(body=body)

    assert (line["inputs"], line["rows"]) == ([], 0)
    assert line["outputs"]


@pytest.mark.parametrize(
    "answer",
    [None, Answer(400, {}, ANSWER.body), Answer(200, {"content-encoding": "br"}, b"x")],
    ids=["none", "refused", "coded"],
)
def test_without_an_answer_there_are_no_outputs(answer):
    line = written(answer=answer, outcome="failed", release="")

    assert (line["outputs"], line["outcome"], line["version"]) == ([], "failed", "")
    assert line["rows"] == 2


def test_ids_that_callers_choose_are_cut():
    assert len(written(request_id="x" * 1000)["request_id"]) == 256


def test_the_ratio_says_for_how_many_an_entry_stands():
    async def play(log):
        for _ in range(2000):
            log.note(**NOTED)
            await log.drain(deadline=asyncio.get_running_loop().time() + 20)

    clock = iter(range(10**9)).__next__
    draw = random.Random(1).random
    lines, _ = run(play, 0.05, clock=lambda: float(clock()), draw=draw)

    assert sum(1 / line["ratio"] for line in lines) == pytest.approx(2000, rel=0.5)
    assert len(lines) < 200


@pytest.mark.parametrize(("ratio", "policy"), [(0.0, "summary"), (1.0, "off")])
def test_nothing_is_kept_where_nothing_is_asked_for(ratio, policy):
    async def play(log):
        for _ in range(100):
            log.note(**NOTED)

    assert run(play, ratio, policy)[0] == []


def test_small_bodies_are_written_before_the_caller_has_its_answer():
    lines = []

    async def scene():
        log = InferenceLog(1.0, "summary", write=lines.append)
        log.note(**NOTED)
        await log.drain(deadline=asyncio.get_running_loop().time() + 20)
        assert len(lines) == 1
        log.note(**NOTED)
        return len(lines)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(scene()) == 2


def test_long_bodies_wait_in_a_thread_and_too_many_are_dropped():
    body = json.dumps({"instances": [[0.5] * 100_000]}).encode()

    async def play(log):
        for _ in range(WAITING_MAX + 3):
            log.note(**NOTED | {"body": body})

    lines, _ = run(play)

    kinds = [line["kind"] for line in lines]
    assert kinds.count("prediction") == WAITING_MAX
    assert lines[kinds.index("dropped")]["dropped"] == {"queue": 3}


def test_what_waits_is_bounded_in_bytes_too():
    async def play(log):
        log.note(**NOTED | {"body": bytes(WAITING_MAX_BYTES + 1)})

    ((line,), _) = run(play)

    assert line["dropped"] == {"queue": 1}


def test_an_entry_that_takes_long_makes_the_next_one_wait():
    now_s = [0.0]

    def clock():
        now_s[0] += 0.01  # two looks an entry: it takes 10 ms
        return now_s[0]

    async def play(log):
        for _ in range(3000):
            log.note(**NOTED)
            await asyncio.sleep(0)
        await log.drain(deadline=asyncio.get_running_loop().time() + 20)

    lines, _ = run(play, ratio=0.999, clock=clock, draw=lambda: 0.5)

    took_s = 0.01 * len(lines)
    assert len(lines) > 10
    assert took_s <= 1.2 * BUSY_SHARE * now_s[0]


def test_what_cannot_be_written_fails_nobody():
    async def play(log):
        log.note(**NOTED | {"upstream_s": 1e300})

    ((line,), _) = run(play)

    assert line["dropped"] == {"unencodable": 1}


def test_numpy_is_imported_when_the_first_entry_is_due_and_no_sooner():
    script = (
        "import asyncio, sys\n"
        "from functions.prediction.inference_log import InferenceLog\n"
        "import functions.prediction.shadow_start\n"
        "async def main():\n"
        "    log = InferenceLog(1.0, 'summary')\n"
        "    before = 'numpy' in sys.modules\n"
        "    log.note('m', 'm@1', 'r', '', b'{}', '', None, 'ok', 0)\n"
        "    await log.drain(deadline=asyncio.get_running_loop().time() + 20)\n"
        "    print(before, 'numpy' in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    line, loaded = result.stdout.splitlines()
    assert json.loads(line)["kind"] == "prediction"
    assert loaded == "False True"


def test_a_line_leaves_room_for_what_cloud_logging_adds():
    assert LINE_MAX_BYTES < 256 * 1000
