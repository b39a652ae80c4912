"""The Vertex AI stand-in as a process, and releases for it to serve."""

import hashlib
import io
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from packhorse.assignment import BundleRef, bundle_target
from packhorse.bundle import write_bundle
from packhorse.golden import GoldenSamples, write_golden
from packhorse.manifest import Manifest, Member, RuntimeNeeds, TensorSpec
from packhorse.names import Release
from packhorse.tolerance import Tolerance

PROJECT, REGION = "packhorse-demo", "europe-west4"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
CANDIDATE = f"{PARENT}/endpoints/1"
SERVING = f"{PARENT}/endpoints/2"
CONTAINER = Path(__file__).with_name("doubling_container.py")


class VertexStandIn:
    """Runs `local_cloud.vertex` with two empty endpoints."""

    serving_command = f"{sys.executable} {CONTAINER}"

    def __init__(self, data):
        command = [sys.executable, "-m", "local_cloud.vertex", "--data", str(data)]
        flags = ["--endpoint", "1=candidate", "--endpoint", "2=serving"]
        flags += ["--project", PROJECT, "--location", REGION]
        serving = ["--serving-command", self.serving_command]
        self.process = subprocess.Popen(
            [*command, *flags, *serving], stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.url, self.own_url = re.findall(r"http://\S+", line)

    def get(self, path):
        with urllib.request.urlopen(f"{self.url}/v1/{path}", timeout=5) as reply:
            return json.load(reply)

    def upload(self, release):
        """Upload a release's version, and return the version's number."""
        container = {
            "imageUri": "europe-west4-docker.pkg.dev/p/i/edge:1",
            "healthRoute": "/health",
            "predictRoute": "/predict",
            "env": [{"name": "PACKHORSE_RELEASE", "value": str(release)}],
        }
        name = f"{PARENT}/models/{release.model}"
        before = len(self._versions(name))
        parent = {"parentModel": name} if before else {"modelId": release.model}
        model = {"displayName": release.model, "containerSpec": container}
        self._post(f"{PARENT}/models:upload", {"model": model, **parent})
        deadline = time.monotonic() + 20
        while len(versions := self._versions(name)) <= before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return max(int(version["versionId"]) for version in versions)

    def _versions(self, model):
        try:
            return self.get(f"{model}:listVersions")["models"]
        except urllib.error.HTTPError as error:
            error.close()
            return []

    def _post(self, path, body):
        request = urllib.request.Request(
            f"{self.url}/v1/{path}", data=json.dumps(body).encode()
        )
        urllib.request.urlopen(request, timeout=5).close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.process.stdout.close()


def doubling_bundle(release: Release) -> tuple[bytes, BundleRef]:
    """Make the bundle of a model that doubles; its model file is never opened."""
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    golden = write_golden(GoldenSamples({"x": x}, {"y": x * 2}))
    files = {"model.onnx": b"never opened", "golden.npz": golden}
    manifest = Manifest(
        release=release,
        variant="fp32",
        source_digest="sha256:" + "0" * 64,
        members=tuple(
            Member(name, len(body), hashlib.sha256(body).hexdigest())
            for name, body in files.items()
        ),
        inputs=(TensorSpec("x", "FP32", (-1, 4)),),
        outputs=(TensorSpec("y", "FP32", (-1, 4)),),
        needs=RuntimeNeeds(8, {"": 17}, "1.16.0", None),
        tolerances={"y": Tolerance(absolute=1e-4, relative=1e-3)},
    )
    out = io.BytesIO()
    write_bundle(manifest, {n: io.BytesIO(b) for n, b in files.items()}, out)
    body = out.getvalue()
    digest = hashlib.sha256(body).hexdigest()
    return body, BundleRef(bundle_target(release, "fp32"), len(body), digest)
