"""SIGTERM: what was accepted is answered, and then the gateway is gone."""

import http.client
import json
import signal
import threading
import time

import pytest

from tests.edge_runtime.gateways import infer_document, install_tiny, wait_for

PATH = "/v2/models/tiny/infer"
BODY = json.dumps(infer_document([[1.0, 2.0, 3.0, 4.0]])).encode()
CLIENTS = 24


class LastClient(threading.Thread):
    """Asks on one connection until it is told that the connection closes."""

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.answered = 0
        self.problem = None

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            while True:
                connection.request("POST", PATH, BODY)
                reply = connection.getresponse()
                reply.read()
                assert reply.status == 200
                self.answered += 1
                if reply.getheader("Connection") == "close":
                    return
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.problem = repr(error)
        finally:
            connection.close()


@pytest.fixture
def start(start_gateway, state_dir):
    def start(**settings):
        install_tiny(state_dir, "a", 1, is_active=True)
        gateway = start_gateway(**settings)
        gateway.wait_ready()
        return gateway

    return start


@pytest.mark.parametrize("processes", ["1", "2"])
def test_under_load_every_client_is_answered_until_it_is_told_to_go(start, processes):
    gateway = start(PACKHORSE_PROCESSES=processes)
    clients = [LastClient(gateway.port) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    wait_for(lambda: all(client.answered > 20 for client in clients))

    begun_s = time.monotonic()
    assert gateway.stop() == 0

    assert time.monotonic() - begun_s < 5.0
    for client in clients:
        client.join()
    assert [c.problem for c in clients if c.problem] == []


def test_who_never_finishes_is_cut_off_when_the_time_is_over(start):
    gateway = start(PACKHORSE_STOP_S="1")
    with gateway.connect() as connection:
        head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
        connection.sendall(head.encode())
        wait_for(lambda: json.loads(gateway.get("/status")[2])["ready"])
        begun_s = time.monotonic()

        assert gateway.stop() == 0

        assert 0.9 < time.monotonic() - begun_s < 4.0
        assert connection.makefile("rb").read() == b""


def test_a_worker_that_is_told_to_stop_by_somebody_else_is_replaced(start):
    gateway = start()
    pid = gateway.kill_worker(signal.SIGTERM)
    wait_for(lambda: gateway.status()["worker_pid"] not in {0, pid})
    assert gateway.request("POST", PATH, BODY)[0] == 200
