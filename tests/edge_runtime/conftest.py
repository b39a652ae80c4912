"""Gateways that are stopped when the test is over."""

import pytest

from tests.edge_runtime.clients import Client
from tests.edge_runtime.gateways import Gateway


@pytest.fixture
def state_dir(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def start_gateway(state_dir):
    started = []

    def start(directory=state_dir, **settings):
        directory.mkdir(exist_ok=True)
        gateway = Gateway(directory, **settings)
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        gateway.stop()


@pytest.fixture
def start_clients():
    clients = []

    def start(port, count=6):
        for number in range(count):
            client = Client(port, keeps_alive=number % 3 != 0)
            clients.append(client)
            client.start()
        return clients

    yield start
    for client in clients:
        client.stopped.set()
        client.join()
