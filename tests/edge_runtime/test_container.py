"""As Vertex AI's serving container: the bundle comes from Cloud Storage."""

import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.parse

import numpy as np
import pytest

from edge_runtime.cloud import install_from_cloud
from edge_runtime.errors import FetchError
from edge_runtime.settings.serve_settings import serve_settings
from edge_runtime.slots import open_slots
from local_cloud.ports import free_port
from tests.edge_runtime.gateways import ROOT, Gateway, wait_for
from tests.models import tiny_answer, tiny_bundle

HEALTH = "/v1/endpoints/1/deployedModels/2"
PREDICT = f"{HEALTH}:predict"
TOKEN = "a-token"
ROWS = [[1.0, 2.0, 3.0, 4.0]]
PREFIX = "targets/bundles/tiny/2"


class Storage(http.server.BaseHTTPRequestHandler):
    """Answers `objects.list`, `objects.get`, and the metadata server's token."""

    objects: dict

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if self.server.failures and "/o" in url.path:
            self.server.failures -= 1
            return self.reply(503, b"")
        if url.path.startswith("/computeMetadata/"):
            if self.headers["Metadata-Flavor"] != "Google":
                return self.reply(403, b"")
            return self.reply(200, json.dumps({"access_token": TOKEN}).encode())
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.reply(401, b"")
        _, _, name = url.path.partition("/storage/v1/b/bucket/o")
        if not name:
            prefix = urllib.parse.parse_qs(url.query)["prefix"][0]
            names = [n for n in self.server.objects if n.startswith(prefix)]
            items = {"items": [{"name": n} for n in names]}
            return self.reply(200, json.dumps(items).encode())
        body = self.server.objects.get(urllib.parse.unquote(name[1:]))
        return self.reply(404 if body is None else 200, body or b"")

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def storage():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Storage)
    server.objects = {}
    server.failures = 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bundle(storage):
    _, body = tiny_bundle(2)
    sha256 = hashlib.sha256(body).hexdigest()
    storage.objects[f"{PREFIX}/{sha256}.fp32.tar"] = body
    return sha256


def settings(storage, sha256, **more):
    address = f"127.0.0.1:{storage.server_address[1]}"
    return {
        "AIP_HTTP_PORT": str(free_port()),
        "AIP_HEALTH_ROUTE": HEALTH,
        "AIP_PREDICT_ROUTE": PREDICT,
        "AIP_STORAGE_URI": f"gs://bucket/{PREFIX}/",
        "PACKHORSE_BUNDLE_SHA256": sha256,
        "PACKHORSE_LISTEN_HOST": "127.0.0.1",
        "STORAGE_EMULATOR_HOST": f"http://{address}",
        "GCE_METADATA_HOST": address,
        **more,
    }


class Container(Gateway):
    """A gateway whose state directory is its own business."""

    def wait_healthy(self, port):
        self.port = port
        wait_for(lambda: self._alive() and self.is_healthy())

    def is_healthy(self):
        try:
            return self.get(HEALTH)[0] == 200
        except OSError:
            return False


@pytest.mark.parametrize("is_object", [False, True], ids=["prefix", "object"])
def test_both_protocols_are_answered_on_the_one_route(
    storage, bundle, tmp_path, is_object
):
    values = settings(storage, bundle, TMPDIR=str(tmp_path))
    if is_object:
        values["AIP_STORAGE_URI"] = f"gs://bucket/{PREFIX}/{bundle}.fp32.tar"
    container = Container(tmp_path / "unused", **values)
    try:
        container.wait_healthy(int(values["AIP_HTTP_PORT"]))
        v2 = {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ROWS}]
        }
        replies = [
            container.request("POST", PREDICT, json.dumps(document))
            for document in ({"instances": ROWS}, v2, {"rows": ROWS})
        ]
    finally:
        assert container.stop() == 0
    assert [status for status, _, _ in replies] == [200, 200, 400]
    predictions = json.loads(replies[0][2])["predictions"]
    output = json.loads(replies[1][2])["outputs"][0]["data"]
    assert np.allclose(predictions, tiny_answer(ROWS, 2), atol=1e-5)
    assert np.allclose([output], tiny_answer(ROWS, 2), atol=1e-5)
    assert replies[0][1]["X-Packhorse-Release"] == "tiny@2"
    assert not list(tmp_path.glob("packhorse-*"))


def test_binary_tensors_pass_vertex_which_forwards_no_other_header(
    storage, bundle, tmp_path
):
    values = settings(storage, bundle, TMPDIR=str(tmp_path))
    kind = "application/vnd.vertex-ai-triton.binary+json;json-header-size="
    rows = np.array([[1, 2, 3, 4]], np.float32)
    document = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP32",
                    "shape": [1, 4],
                    "parameters": {"binary_data_size": rows.nbytes},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    container = Container(tmp_path / "state", **values)
    try:
        container.wait_healthy(int(values["AIP_HTTP_PORT"]))
        status, headers, body = container.request(
            "POST",
            PREDICT,
            document + rows.tobytes(),
            {"Content-Type": f"{kind}{len(document)}"},
        )
    finally:
        container.stop()
    assert status == 200
    assert headers["Content-Type"].startswith(kind)
    json_bytes = int(headers["Content-Type"].removeprefix(kind))
    answer = np.frombuffer(body[json_bytes:], np.float32)
    assert answer == pytest.approx(tiny_answer(rows, 2)[0], rel=1e-5)
    assert json.loads(body[:json_bytes])["outputs"][0]["shape"] == [1, 3]


def run(values, tmp_path):
    return subprocess.run(
        [sys.executable, "-m", "edge_runtime", "serve"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(tmp_path),
            **values,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_any_other_bundle_is_refused(storage, bundle, tmp_path):
    storage.objects[f"{PREFIX}/{bundle}.fp32.tar"] = tiny_bundle(3)[1]
    done = run(settings(storage, bundle), tmp_path)
    assert done.returncode == 1
    assert f"PACKHORSE_BUNDLE_SHA256 is {bundle}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("names", [[], ["1.fp32.tar", "2.fp32.tar"]])
def test_none_or_several_bundles_are_refused(storage, tmp_path, names):
    storage.objects = {f"{PREFIX}/{name}": b"" for name in names}
    done = run(settings(storage, "0" * 64), tmp_path)
    assert done.returncode == 1
    assert f"expected one bundle under gs://bucket/{PREFIX}/" in done.stderr


def test_what_is_no_bundle_is_refused_though_its_hash_is_right(storage, tmp_path):
    sha256 = hashlib.sha256(b"no bundle").hexdigest()
    storage.objects = {f"{PREFIX}/{sha256}.fp32.tar": b"no bundle"}
    done = run(settings(storage, sha256), tmp_path)
    assert done.returncode == 1
    assert "the bundle is malformed" in done.stderr


def install(values, tmp_path, **more):
    container = serve_settings({**values, "TMPDIR": str(tmp_path)}).container
    slot = open_slots(tmp_path / "slots").slot("a")
    install_from_cloud(container, slot, **more)
    return slot


def test_storage_that_stays_away_is_a_sentence(storage, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    values = settings(storage, "0" * 64, STORAGE_EMULATOR_HOST=away)

    with pytest.raises(FetchError, match="no usable answer"):
        install(values, tmp_path, patience_s=0.0)


def test_storage_that_is_away_for_a_moment_is_waited_for(storage, bundle, tmp_path):
    storage.failures = 2

    slot = install(settings(storage, bundle), tmp_path)

    assert str(slot.release) == "tiny@2"
    assert storage.failures == 0
