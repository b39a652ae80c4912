"""The stand-in as a process, and Google's own clients pointed at it."""

import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1

LOCATION = "projects/packhorse-demo/locations/europe-west4"
CONTAINER = Path(__file__).with_name("serving_container.py")
WAIT_S = 20.0


def wait_until(condition, timeout_s=WAIT_S):
    """Wait for a condition and return what made it true."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


class Vertex:
    """A running stand-in, Google's clients for it, and what tests do with both."""

    def __init__(self, data, *flags):
        self.data = data
        self.flags = flags
        self.start()

    def start(self):
        command = [sys.executable, "-X", "faulthandler", "-m", "local_cloud.vertex"]
        command += ["--data", str(self.data)]
        serving = f"{sys.executable} {CONTAINER}"
        self.process = subprocess.Popen(
            [*command, "--serving-command", serving, *self.flags],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        self.url, self.own_url = re.findall(r"http://\S+", line)
        options = ClientOptions(api_endpoint=self.url)
        options = {
            "client_options": options,
            "transport": "rest",
            "credentials": AnonymousCredentials(),
        }
        self.models = aiplatform_v1.ModelServiceClient(**options)
        self.endpoints = aiplatform_v1.EndpointServiceClient(**options)
        self.predictions = aiplatform_v1.PredictionServiceClient(**options)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.close_pipes()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            # Shows where every thread stands.
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise
        finally:
            self.close_pipes()

    def close_pipes(self):
        self.process.stdout.close()
        for client in (self.models, self.endpoints, self.predictions):
            client.transport.close()

    def upload(self, version="1", *, parent="", env=None, **fields):
        spec = {
            "image_uri": "europe-west4-docker.pkg.dev/packhorse-demo/images/edge:1",
            "env": [{"name": k, "value": v} for k, v in (env or {}).items()],
            "predict_route": "/predict",
            "health_route": "/health",
        }
        model = {
            "display_name": "magika",
            "container_spec": spec,
            "labels": {"packhorse_release": f"magika-{version}"},
            **fields,
        }
        request = {"parent": LOCATION, "model": model, "parent_model": parent}
        return self.models.upload_model(request=request).result(timeout=WAIT_S)

    def deploy(self, endpoint, model, *, split=None, own_id="", timeout=WAIT_S):
        deployed = {
            "id": own_id,
            "model": model,
            "display_name": "magika@1",
            "dedicated_resources": {"machine_spec": {"machine_type": "n1-standard-2"}},
        }
        request = {"endpoint": endpoint, "deployed_model": deployed}
        operation = self.endpoints.deploy_model(
            request={**request, "traffic_split": split or {}}
        )
        return operation.result(timeout=timeout).deployed_model

    def new_endpoint(self, name="magika", **fields):
        operation = self.endpoints.create_endpoint(
            parent=LOCATION, endpoint={"display_name": name, **fields}
        )
        return operation.result(timeout=WAIT_S).name

    def set_faults(self, *faults, seed=0):
        document = {"seed": seed, "faults": faults}
        reply = requests.put(f"{self.url}/_faults", json=document, timeout=WAIT_S)
        reply.raise_for_status()

    def faults(self):
        return requests.get(f"{self.url}/_faults", timeout=WAIT_S).json()["faults"]

    def seen(self, endpoint, verb="rawPredict"):
        seen = requests.get(f"{self.url}/_seen", timeout=WAIT_S).json()
        return seen[f"POST /v1/{endpoint}:{verb}"]

    def raw_predict(self, endpoint, body=b"{}", *, is_own=False, **headers):
        url = self.own_url if is_own else self.url
        url = f"{url}/v1/{endpoint}:rawPredict"
        return requests.post(url, data=body, headers=headers, timeout=WAIT_S)

    def wait_for(self, operation):
        """Poll an operation by its name until it is done."""

        def done():
            shown = requests.get(f"{self.url}/v1/{operation}", timeout=WAIT_S).json()
            return shown if shown["done"] else None

        return wait_until(done)


@contextmanager
def running(data, *flags):
    vertex = Vertex(data, *flags)
    try:
        yield vertex
    finally:
        vertex.stop()


@pytest.fixture(scope="session")
def vertex(tmp_path_factory):
    """One stand-in for all tests that leave others' resources alone."""
    with running(tmp_path_factory.mktemp("vertex")) as stand:
        yield stand


@pytest.fixture
def own_vertex(tmp_path):
    """A stand-in that a test may kill and configure."""
    stands = []

    def start(*flags):
        stands.append(Vertex(tmp_path / "vertex", *flags))
        return stands[-1]

    yield start
    for stand in stands:
        stand.stop()


@pytest.fixture(scope="session")
def served(vertex):
    """An endpoint with one deployed model that takes all its traffic."""
    endpoint = vertex.new_endpoint()
    model = vertex.upload(env={"WHO": "served"}).model
    vertex.deploy(endpoint, model, split={"0": 100}, own_id="77")
    return endpoint


@pytest.fixture(scope="session")
def until():
    return wait_until
