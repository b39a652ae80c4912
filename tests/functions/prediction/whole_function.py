"""The prediction function as its platform runs it: one process, seen from outside."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_cloud.ports import free_port
from packhorse.names import Release
from tests.functions.conftest import lead_to_google, lead_to_vertex
from tests.functions.vertex_stand_in import CANDIDATE, SERVING, VertexStandIn

ROOT = Path(__file__).parents[3]
PREDICT = "/v1/models/magika:predict"
ROWS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}
BODY = json.dumps(ROWS).encode()
START_S = 30.0


def until(condition, timeout_s=START_S):
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    body: bytes
    took_s: float


class Function:
    """One process of functions-framework that serves `predict`."""

    def __init__(self, folder):
        self.port = free_port()
        self.log = folder / "function.log"
        command = [sys.executable, "-m", "functions_framework", "--target", "predict"]
        command += ["--source", "main.py", "--host", "127.0.0.1"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                cwd=ROOT,
                env=os.environ | {"FUNCTION_USE_ASGI": "true"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(self._is_ready)

    def _is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/v2/health/ready").status == 200
        return False

    def ask(self, method="POST", path=PREDICT, body=BODY, limit_s=30.0, **headers):
        """Ask over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit_s)
        named = {name.replace("_", "-"): str(v) for name, v in headers.items()}
        begun = time.monotonic()
        try:
            connection.request(method, path, body if method == "POST" else None, named)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        took_s = time.monotonic() - begun
        return Answer(reply.status, _lower(reply.getheaders()), content, took_s)

    def predict(self, timeout_s=None, **more):
        headers = {} if timeout_s is None else {"X_Request_Timeout": timeout_s}
        return self.ask(**headers, **more)

    @property
    def worker(self):
        """The process id of whoever answers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else pid

    def descriptors(self):
        return len(list(Path(f"/proc/{self.worker}/fd").iterdir()))

    def rss_mib(self):
        pages = int(Path(f"/proc/{self.worker}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2

    def lines(self):
        """What it logged: the JSON objects, and all else."""
        text = self.log.read_text(errors="replace").splitlines()
        events = [json.loads(line) for line in text if line.startswith("{")]
        return events, [line for line in text if not line.startswith("{")]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()


def _lower(headers):
    return {name.lower(): value for name, value in headers}


class Upstream(VertexStandIn):
    """The stand-in, one release on its serving endpoint, and faults for it."""

    def __init__(self, data):
        super().__init__(data)
        self.serve(SERVING, "101")

    def serve(self, endpoint, deployed_id, version=1):
        number = self.upload(Release("magika", version))
        parent = endpoint.rsplit("/", 2)[0]
        deployed = {
            "id": deployed_id,
            "model": f"{parent}/models/magika@{number}",
            "displayName": f"magika@{version}",
        }
        split = {"0": 100}
        body = {"deployedModel": deployed, "trafficSplit": split}
        self._post(f"{endpoint}:deployModel", body)
        until(lambda: self.get(endpoint).get("trafficSplit"))

    def create_endpoint(self, **fields):
        """Make an endpoint with one deployed model; return its name."""
        parent = SERVING.rsplit("/", 2)[0]
        before = {one["name"] for one in self.get(f"{parent}/endpoints")["endpoints"]}
        self._post(f"{parent}/endpoints", {"displayName": "own", **fields})
        found = self.get(f"{parent}/endpoints")["endpoints"]
        (name,) = {one["name"] for one in found} - before
        self.serve(name, "202")
        return name

    def set_faults(self, *faults, seed=0):
        self._json("PUT", "_faults", {"seed": seed, "faults": faults})

    def met(self):
        """How often the first fault was met since it was set."""
        return self._json("GET", "_faults")["faults"][0]["met"]

    def asked(self, endpoint=SERVING):
        """How often predictions of an endpoint were asked for."""
        seen = self._json("GET", "_seen")
        return seen.get(f"POST /v1/{endpoint}:rawPredict", {}).get("asked", 0)

    def _json(self, method, path, document=None):
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.url}/{path}", body, method=method)
        with urllib.request.urlopen(request, timeout=5) as reply:
            return json.load(reply)


@contextlib.contextmanager
def upstream_and_settings(identity, folder):
    """Run the stand-in, and set all that a function reads to find it."""
    upstream = Upstream(folder / "vertex")
    with pytest.MonkeyPatch.context() as patch:
        lead_to_google(patch, identity, folder)
        lead_to_vertex(patch, upstream)
        patch.delenv("PREDICT_TIMEOUT_S", raising=False)
        patch.setenv("MODEL_ENDPOINTS", json.dumps({"magika": named(SERVING)}))
        try:
            yield upstream, patch
        finally:
            upstream.stop()


def named(serving):
    return {"candidate": CANDIDATE, "serving": serving}


@contextlib.contextmanager
def running(folder):
    """Run the function with the settings that are set now."""
    function = Function(folder)
    try:
        yield function
    finally:
        function.stop()


FOREIGN = re.compile(
    rb"Traceback|Errno|[Ee]xception|httptools|asyncio|uvicorn|starlette|"
    rb"google\.auth|urllib3|ssl\.|0x[0-9a-f]{6}|127\.0\.0\.1|\.py\b|Connection ?Reset"
)
"""What no sentence of ours holds."""
