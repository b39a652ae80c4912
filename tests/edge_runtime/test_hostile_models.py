"""One request must not take a gateway's processor, nor its memory, for itself."""

import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import OverrunError
from edge_runtime.http.head import HttpError
from edge_runtime.http.sized_body import STEP_BYTES, Allowance, SizedBody
from edge_runtime.model_session import ModelSession
from edge_runtime.run_watch import RunWatch
from edge_runtime.slots import open_slots
from tests.edge_runtime.gateways import ROOT, Gateway, install, wait_for
from tests.models import CLASSES, FEATURES, onnx_bytes, tiny_bundle, tiny_weights

ROW = [1.0, 2.0, 3.0, 4.0]
FOREVER = [1e15, 0.0, 0.0, 0.0]
DECLARED = 60 * 1024**2


def constant(name, value, kind):
    return numpy_helper.from_array(np.array(value, kind), name)


def counting_model():
    """Return the tiny model, which counts first as far as its largest input says."""
    w, b = tiny_weights()
    scalar = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["sum", "one"], ["more"]),
        ],
        "count",
        [
            scalar("i", TensorProto.INT64, []),
            scalar("go", TensorProto.BOOL, []),
            scalar("sum", TensorProto.FLOAT, []),
        ],
        [scalar("go_on", TensorProto.BOOL, []), scalar("more", TensorProto.FLOAT, [])],
    )
    return onnx_bytes(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["product"]),
            helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
            helper.make_node("Cast", ["largest"], ["count"], to=TensorProto.INT64),
            helper.make_node("Max", ["count", "none"], ["trips"]),
            helper.make_node("Loop", ["trips", "true", "zero"], ["sum"], body=body),
            helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
            helper.make_node("Add", ["product", "nothing"], ["y"]),
        ],
        [scalar("x", TensorProto.FLOAT, ["n", FEATURES])],
        [scalar("y", TensorProto.FLOAT, ["n", CLASSES])],
        [
            numpy_helper.from_array(w, "w"),
            numpy_helper.from_array(b, "b"),
            constant("zero", 0, np.float32),
            constant("one", 1, np.float32),
            constant("none", 0, np.int64),
            constant("true", 1, np.bool_),
        ],
    )


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    state_dir = tmp_path_factory.mktemp("hostile") / "state"
    slot = install(state_dir, "a", tiny_bundle(model=counting_model())[1])
    open_slots(state_dir).activate(slot)
    gateway = Gateway(state_dir, PACKHORSE_RUN_S="2")
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0


def resident_bytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def test_a_request_that_would_run_for_ever_is_ended_and_holds_nobody_up(gateway):
    pid = gateway.status()["worker_pid"]
    replies = []
    asking = Thread(target=lambda: replies.append(gateway.infer([FOREVER])))
    asking.start()
    time.sleep(0.5)

    begun_s = time.monotonic()
    assert gateway.get("/v2/health/live")[0] == 200
    assert gateway.infer([ROW])[0] == 200
    assert time.monotonic() - begun_s < 1.5

    asking.join()
    ((status, reply),) = replies
    assert (status, reply["error"]) == (504, "the model was stopped after 2 s")
    assert gateway.status()["worker_pid"] == pid


def test_a_worker_whose_model_cannot_be_stopped_ends_itself():
    script = (
        "import time; from edge_runtime.run_watch import RunWatch\n"
        "class Deaf: terminate = False\n"
        "RunWatch(0.1).lane(Deaf).begin(); time.sleep(20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, cwd=ROOT, check=False
    )
    assert done.returncode == -9
    assert b"worker_stuck" in done.stdout


def test_a_run_is_stopped_at_its_limit_and_the_next_one_runs(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(counting_model())
    session = ModelSession(path, watch=RunWatch(0.2))

    with pytest.raises(OverrunError, match=r"stopped after 0\.2 s"):
        session.run({"x": np.array([FOREVER], np.float32)})
    assert session.run({"x": np.array([ROW], np.float32)})["y"].shape == (1, CLASSES)


def test_bodies_that_are_only_announced_take_no_memory(gateway):
    pid = gateway.status()["worker_pid"]
    before = resident_bytes(pid)
    head = (
        f"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: gateway\r\n"
        f"Content-Length: {DECLARED}\r\n\r\n"
    ).encode()
    connections = [gateway.connect() for _ in range(20)]
    for connection in connections:
        connection.sendall(head + b"{")
    time.sleep(0.5)

    assert resident_bytes(pid) - before < DECLARED
    for connection in connections:
        connection.close()


def test_more_long_bodies_than_memory_allows_are_told_to_come_later(gateway):
    pid = gateway.status()["worker_pid"]
    connections = [gateway.connect() for _ in range(7)]
    refused = [send_slowly(connection) for connection in connections]

    told = [reply for reply in refused if b"503" in reply]
    assert told
    assert all(b"Retry-After: 1" in reply for reply in told)
    assert resident_bytes(pid) < 600 * 1024**2
    for connection in connections:
        connection.close()
    wait_for(lambda: gateway.infer([ROW])[0] == 200)


def send_slowly(connection):
    """Send all of a long body but its last byte; return what was answered."""
    head = f"POST / HTTP/1.1\r\nHost: gateway\r\nContent-Length: {DECLARED}\r\n\r\n"
    connection.settimeout(0.3)
    try:
        connection.sendall(head.encode())
        for _ in range(DECLARED // 2**20 - 1):
            connection.sendall(bytes(2**20))
        return connection.recv(1000)
    except (TimeoutError, ConnectionError):
        return read_rest(connection)


def read_rest(connection):
    try:
        return connection.recv(1000)
    except (TimeoutError, ConnectionError):
        return b""


def test_a_body_gets_room_as_it_comes():
    body = SizedBody(3 * STEP_BYTES, memoryview(b"{"), 0)
    assert len(body.body) == STEP_BYTES

    while not body.is_whole:
        room = body.room()
        body.received(len(room))
        room.release()

    assert len(body.body) == 3 * STEP_BYTES
    assert body.body[:1] == b"{"


@pytest.mark.parametrize("json_bytes", [0, 1, 15, 16, 203])
def test_the_tensors_of_a_body_lie_as_numbers_must(json_bytes):
    body = SizedBody(5000, memoryview(b""), json_bytes)
    tensors = np.frombuffer(body.room()[json_bytes:], np.uint8)
    assert tensors.ctypes.data % 16 == 0


def test_the_allowance_is_given_back_and_taken_again():
    allowance = Allowance(10)
    allowance.take(7)
    with pytest.raises(HttpError, match="too many long requests"):
        allowance.take(4)
    allowance.give_back(7)
    allowance.take(10)


def test_a_worker_cannot_take_all_memory_and_is_the_first_that_must_go(gateway):
    process = Path(f"/proc/{gateway.status()['worker_pid']}")
    (line,) = (
        line
        for line in (process / "limits").read_text().splitlines()
        if line.startswith("Max address space")
    )

    assert int(line.split()[3]) < 5 * 1024**3
    assert int((process / "oom_score_adj").read_text()) == 500
