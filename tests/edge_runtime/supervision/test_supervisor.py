"""Workers come, go and die; clients do not notice."""

import json
import os
import signal
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from edge_runtime.slots import open_slots
from packhorse.golden import GoldenSamples
from tests.edge_runtime.clients import ROW, problems
from tests.edge_runtime.gateways import (
    infer_document,
    install_tiny,
    serve_in_vain,
    wait_for,
)
from tests.edge_runtime.repositories import put
from tests.models import onnx_bytes, tiny_golden, tiny_model

LONG_S = "120"


@pytest.fixture
def first(state_dir):
    """A state directory in which tiny@1 is installed and active."""
    return install_tiny(state_dir, "a", 1, is_active=True)


def is_refused(gateway):
    try:
        gateway.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def broken_model():
    """Return a model of the tiny shape whose answers are NaN."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    node = helper.make_node("Log", ["m"], ["y"])
    minus = helper.make_node("Neg", ["e"], ["m"])
    positive = helper.make_node("Exp", ["s"], ["e"])
    cut = helper.make_node("Slice", ["x", "zero", "three", "one"], ["s"])
    ints = [
        helper.make_tensor(name, TensorProto.INT64, [1], [value])
        for name, value in (("zero", 0), ("three", 3), ("one", 1))
    ]
    return onnx_bytes([cut, positive, minus, node], [x], [y], ints)


def test_switching_under_load_loses_no_request_and_answers_none_wrongly(
    start_gateway, first, state_dir, start_clients
):
    gateway = start_gateway(PACKHORSE_PROBATION_S="0.3")
    gateway.wait_ready()
    clients = start_clients(gateway.port)
    wait_for(lambda: all(len(c.versions) > 20 for c in clients))

    for version, slot in ((2, "b"), (3, "a"), (4, "b")):
        install_tiny(state_dir, slot, version)
        assert gateway.order("switch", slot=slot)["ok"] is True
        wait_for(lambda v=version: all(c.versions[-1] == v for c in clients))
        wait_for(lambda: gateway.status()["previous"] == "")

    assert problems(clients) == []
    assert {v for c in clients for v in c.versions} == {1, 2, 3, 4}


def test_it_is_ready_only_after_the_golden_samples_ran(start_gateway, state_dir):
    golden = tiny_golden(tiny_model(1))
    wrong = GoldenSamples(golden.inputs, {"y": golden.outputs["y"] + 1})
    install_tiny(state_dir, "a", 1, golden=wrong, is_active=True)
    gateway = start_gateway()
    gateway.wait_serving()
    status, _, body = gateway.get("/v2/health/ready")
    assert status == 503
    assert "golden sample 0 of tiny@1" in json.loads(body)["error"]
    assert gateway.infer([ROW])[0] == 503


def test_models_beside_it_do_not_hide_that_the_release_fails(
    start_gateway, state_dir, tmp_path
):
    golden = tiny_golden(tiny_model(1))
    wrong = GoldenSamples(golden.inputs, {"y": golden.outputs["y"] + 1})
    install_tiny(state_dir, "a", 1, golden=wrong, is_active=True)
    put(tmp_path / "models", "beside", 1, tiny_model(2))
    gateway = start_gateway(PACKHORSE_MODELS_DIR=str(tmp_path / "models"))
    gateway.wait_serving()
    assert gateway.infer([ROW], model="beside")[0] == 200
    status, _, body = gateway.get("/v2/health/ready")
    assert (status, "golden sample 0 of tiny@1" in json.loads(body)["error"]) == (
        503,
        True,
    )


@pytest.mark.parametrize("parts", [{"model": broken_model()}, {"model": b"no model"}])
def test_a_release_that_does_not_become_ready_changes_nothing(
    start_gateway, first, state_dir, start_clients, parts
):
    gateway = start_gateway()
    gateway.wait_ready()
    clients = start_clients(gateway.port, 2)
    install_tiny(state_dir, "b", 2, golden=tiny_golden(tiny_model(2)), **parts)

    reply = gateway.order("switch", slot="b")

    assert reply["ok"] is False
    assert reply["reason"]
    assert "Traceback" not in gateway.log.read_text()
    assert open_slots(state_dir).active().name == "a"
    assert gateway.infer([ROW])[1]["model_version"] == "1"
    assert problems(clients) == []


def test_an_empty_slot_is_not_switched_to(start_gateway, first):
    gateway = start_gateway()
    gateway.wait_ready()
    reply = gateway.order("switch", slot="b")
    assert reply["ok"] is False
    assert gateway.status()["release"] == "tiny@1"


def test_switching_twice_is_switching_once(start_gateway, first, state_dir):
    gateway = start_gateway(PACKHORSE_PROBATION_S=LONG_S)
    gateway.wait_ready()
    install_tiny(state_dir, "b", 2)
    gateway.order("switch", slot="b")
    before = gateway.status()
    assert gateway.order("switch", slot="b")["ok"] is True
    assert gateway.status() == before


def test_a_worker_that_dies_is_replaced(start_gateway, first):
    gateway = start_gateway()
    gateway.wait_ready()
    dead = gateway.kill_worker()
    assert gateway.infer([ROW])[0] == 200
    assert gateway.status()["worker_pid"] != dead


def test_a_release_whose_worker_dies_in_its_probation_is_rolled_back_at_once(
    start_gateway, first, state_dir
):
    gateway = start_gateway(PACKHORSE_PROBATION_S=LONG_S)
    old = gateway.wait_ready()["worker_pid"]
    install_tiny(state_dir, "b", 2)
    gateway.order("switch", slot="b")
    assert gateway.status()["previous"] == "a"

    gateway.kill_worker(signal.SIGSEGV)

    assert gateway.infer([ROW])[1]["model_version"] == "1"
    status = gateway.status()
    assert (status["worker_pid"], status["previous"]) == (old, "")
    assert "tiny@2" in status["reason"]
    assert open_slots(state_dir).active().name == "a"


def test_a_worker_killed_in_its_probation_is_started_again_once(
    start_gateway, first, state_dir
):
    gateway = start_gateway(PACKHORSE_PROBATION_S=LONG_S)
    gateway.wait_ready()
    install_tiny(state_dir, "b", 2)
    gateway.order("switch", slot="b")

    dead = gateway.kill_worker()
    wait_for(lambda: gateway.status()["worker_pid"] not in {0, dead})
    wait_for(lambda: gateway.infer([ROW])[1]["model_version"] == "2")
    status = gateway.status()
    assert (status["slot"], status["previous"], status["reason"]) == ("b", "a", "")
    assert open_slots(state_dir).active().name == "b"

    gateway.kill_worker()
    wait_for(lambda: gateway.status()["slot"] == "a")
    assert gateway.infer([ROW])[1]["model_version"] == "1"
    assert "tiny@2" in gateway.status()["reason"]
    assert open_slots(state_dir).active().name == "a"


def test_rolling_back_as_asked_loses_no_request(
    start_gateway, first, state_dir, start_clients
):
    gateway = start_gateway(PACKHORSE_PROBATION_S=LONG_S)
    gateway.wait_ready()
    clients = start_clients(gateway.port, 4)
    install_tiny(state_dir, "b", 2)
    gateway.order("switch", slot="b")
    wait_for(lambda: all(c.versions and c.versions[-1] == 2 for c in clients))
    assert gateway.order("roll_back")["ok"] is True
    wait_for(lambda: all(c.versions[-1] == 1 for c in clients))
    assert problems(clients) == []
    assert open_slots(state_dir).active().name == "a"


def test_rolling_back_after_the_probation_starts_the_other_slot(
    start_gateway, first, state_dir
):
    gateway = start_gateway(PACKHORSE_PROBATION_S="0.1")
    gateway.wait_ready()
    assert gateway.order("roll_back")["ok"] is False
    install_tiny(state_dir, "b", 2)
    gateway.order("switch", slot="b")
    wait_for(lambda: gateway.status()["previous"] == "")
    assert gateway.order("roll_back")["ok"] is True
    assert gateway.infer([ROW])[1]["model_version"] == "1"


def test_a_slot_that_dies_on_every_boot_gives_way_to_the_other(
    start_gateway, state_dir
):
    install_tiny(state_dir, "b", 1)
    golden = tiny_golden(tiny_model(2))
    install_tiny(state_dir, "a", 2, golden=golden, model=broken_model(), is_active=True)
    gateway = start_gateway()
    status = gateway.wait_ready()
    assert status["release"] == "tiny@1"
    assert "tiny@2 does not become ready" in status["reason"]
    assert open_slots(state_dir).active().name == "b"


def test_a_release_whose_worker_dies_again_and_again_gives_way_to_the_other(
    start_gateway, first, state_dir
):
    install_tiny(state_dir, "b", 2)
    gateway = start_gateway()
    for _ in range(3):
        assert gateway.wait_ready()["release"] == "tiny@1"
        dead = gateway.kill_worker()
        wait_for(lambda pid=dead: gateway.status()["worker_pid"] not in {0, pid})
    status = gateway.wait_ready()
    assert status["release"] == "tiny@2"
    assert "ended 3 times in a row" in status["reason"]


def test_an_active_slot_that_lost_its_bytes_gives_way_to_the_other(
    start_gateway, first, state_dir
):
    install_tiny(state_dir, "b", 2)
    (first.path / "installed.json").unlink()
    status = start_gateway().wait_ready()
    assert status["release"] == "tiny@2"
    assert "slot a should serve, and its files are damaged" in status["reason"]


def test_workers_end_with_their_supervisor_and_the_next_one_serves(
    start_gateway, first, state_dir
):
    gateway = start_gateway(PACKHORSE_LISTEN="127.0.0.1:0")
    status = gateway.wait_ready()
    os.kill(gateway.process.pid, signal.SIGKILL)
    gateway.process.wait()

    again = start_gateway(PACKHORSE_LISTEN=f"127.0.0.1:{status['port']}")

    wait_for(lambda: not Path(f"/proc/{status['worker_pid']}").exists())
    again.wait_ready()
    assert again.infer([ROW])[0] == 200


def test_a_second_supervisor_is_refused(start_gateway, first, state_dir):
    start_gateway().wait_ready()
    done = serve_in_vain(state_dir)
    assert done.returncode == 1
    assert "another supervisor" in done.stderr


def test_stopping_finishes_what_runs_and_exits_with_zero(start_gateway, first):
    gateway = start_gateway()
    gateway.wait_ready()
    with gateway.connect() as connection:
        body = json.dumps(infer_document([ROW])).encode()
        head = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head + length + body[:10])
        wait_for(lambda: json.loads(gateway.get("/status")[2])["ready"])
        gateway.process.terminate()
        wait_for(lambda: is_refused(gateway))
        connection.sendall(body[10:])
        reply = connection.makefile("rb").read()
    assert reply.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in reply
    assert gateway.stop() == 0
