"""A model whose runs take long keeps nobody waiting but those who ask for it."""

import json
import time
from threading import Thread

import pytest

from tests.edge_runtime.gateways import Gateway, infer_document, wait_for
from tests.edge_runtime.repositories import put
from tests.edge_runtime.test_hostile_models import FOREVER, ROW, counting_model
from tests.models import tiny_model

SOON_S = 3.0


def start(home, **settings):
    (home / "state").mkdir()
    for name in ("slow", "other"):
        put(home / "models", name, 1, counting_model())
    put(home / "models", "tiny", 1, tiny_model())
    gateway = Gateway(
        home / "state", PACKHORSE_MODELS_DIR=str(home / "models"), **settings
    )
    gateway.wait_serving()
    wait_for(lambda: gateway.get("/v2/health/ready")[0] == 200)
    return gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    gateway = start(
        tmp_path_factory.mktemp("fair"), PACKHORSE_RUN_S="8", PACKHORSE_STOP_S="0.5"
    )
    askers = [asker(gateway, "/v2/models/slow/infer") for _ in range(6)]
    askers += [asker(gateway, "/v2/models/sl%6fw/infer") for _ in range(6)]
    time.sleep(0.7)  # both ways into the slow model are full
    yield gateway
    assert gateway.stop() == 0
    for one in askers:
        one.join()


def asker(gateway, path):
    """Have somebody ask for what never ends."""
    body = json.dumps(infer_document([FOREVER]))

    def ask():
        with gateway.connect() as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}"
            connection.sendall(f"{head}\r\n\r\n{body}".encode())
            connection.settimeout(40)
            connection.recv(100)

    thread = Thread(target=ask)
    thread.start()
    return thread


def test_a_long_body_for_another_model_is_read(gateway):
    begun_s = time.monotonic()
    assert gateway.infer([ROW] * 20_000)[0] == 200
    assert time.monotonic() - begun_s < SOON_S


def test_a_compressed_answer_is_written(gateway):
    begun_s = time.monotonic()
    body = json.dumps(infer_document([ROW] * 100))
    path, headers = "/v2/models/tiny/infer", {"Accept-Encoding": "gzip"}
    status, got, _ = gateway.request("POST", path, body, headers)
    assert (status, got.get("Content-Encoding")) == (200, "gzip")
    assert time.monotonic() - begun_s < SOON_S


def test_another_model_that_needs_a_thread_has_one(gateway):
    begun_s = time.monotonic()
    assert gateway.infer([[3e5, 0.0, 0.0, 0.0]], model="other")[0] == 200
    assert time.monotonic() - begun_s < SOON_S


def test_a_page_is_built(gateway):
    begun_s = time.monotonic()
    assert gateway.get("/status")[0] == 200
    assert time.monotonic() - begun_s < SOON_S


def test_a_stop_does_not_wait_for_a_run_that_nobody_waits_for(tmp_path):
    gateway = start(tmp_path, PACKHORSE_STOP_S="1")
    askers = [asker(gateway, "/v2/models/slow/infer") for _ in range(3)]
    askers += [asker(gateway, "/v2/models/slow/versions/01/infer") for _ in range(2)]
    time.sleep(0.7)
    begun_s = time.monotonic()

    assert gateway.stop() == 0

    assert time.monotonic() - begun_s < 3.0
    for one in askers:
        one.join()
