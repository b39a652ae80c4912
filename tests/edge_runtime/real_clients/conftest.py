"""One real server with a directory of models, and what others' clients saw of it.

Each client's script is run once in the clients' own environment; the tests look
at what it printed.
"""

import json
import subprocess
from pathlib import Path

import pytest

from tests.edge_runtime.gateways import Gateway, wait_for
from tests.edge_runtime.real_clients.repository import write_repository

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parents[2] / ".venv-clients" / "bin" / "python"
RUN_S = 60.0


@pytest.fixture(scope="session")
def serve_models(tmp_path_factory):
    """Start servers that serve the repository."""
    started = []

    def start(**settings):
        directory = tmp_path_factory.mktemp("clients")
        write_repository(directory / "models")
        (directory / "state").mkdir()
        models_dir = str(directory / "models")
        gateway = Gateway(
            directory / "state", PACKHORSE_MODELS_DIR=models_dir, **settings
        )
        started.append(gateway)
        gateway.wait_serving()
        wait_for(lambda: gateway.get("/v2/health/ready")[0] == 200, timeout_s=20)
        return gateway

    yield start
    for gateway in started:
        gateway.stop()


@pytest.fixture(scope="session")
def server(serve_models):
    """Serve the repository; nothing may be loaded or unloaded."""
    return serve_models()


@pytest.fixture(scope="session")
def run_client():
    """Run a script in the clients' environment; return what it printed."""

    def run(script, gateway):
        done = subprocess.run(
            [PYTHON, HERE / script, f"127.0.0.1:{gateway.port}"],
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
            env={},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
