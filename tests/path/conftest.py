"""The whole of Packhorse on loopback, with mosquitto and tiny models."""

import shutil
from pathlib import Path

import pytest

from local_cloud.stack.settings import ROOT, Broker, Gates, Plan
from local_cloud.stack.stack import Stack
from tests.mosquitto import running_mosquitto
from tests.path.fleet import Fleet

GATEWAY_VENV = ROOT / ".venv-gateway"


def make_stack(folder: Path, broker: Broker | None) -> Stack:
    if not (GATEWAY_VENV / "bin" / "edge-runtime").exists():
        pytest.skip("the gateway's environment is missing: make setup")
    gates = Gates(soak_s=0.2, patience_s=2.0, min_success_ratio=0.9)
    plan = Plan(
        folder=folder,
        gateway_venv=GATEWAY_VENV,
        models=("tiny",),
        gates=gates,
        broker=broker,
    )
    return Stack(plan)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker that speaks MQTT 5 and asks for a certificate, where there is one."""
    if shutil.which("mosquitto") is None and not Path("/usr/sbin/mosquitto").exists():
        # Said in tests/local_cloud, where a missing mosquitto is skipped by name.
        yield None
        return
    with running_mosquitto(tmp_path_factory.mktemp("mosquitto")) as running:
        yield Broker(running.url, running.ca_file, running.make_client)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, broker):
    """The stack with two gateways, one in ring 0 and one in ring 1."""
    folder = tmp_path_factory.mktemp("stack")
    with make_stack(folder, broker) as stack:
        stack.start()
        stack.add_gateway("gw-0", 0)
        stack.add_gateway("gw-1", 1)
        stack.start_gateways()
        yield Fleet(stack, folder)
