"""Other people's clients drive the function; behind it stands the real container.

Triton's and KServe's clients run unmodified, in an environment of their own. The
Vertex AI stand-in lets only body and content type through to `edge-runtime`.
"""

import hashlib
import json
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.edge_runtime.test_container import PREFIX, Storage
from tests.functions.conftest import lead_to_google, lead_to_vertex
from tests.functions.prediction.whole_function import ROOT, running, until
from tests.functions.real_clients.steps import rows
from tests.functions.vertex_stand_in import CANDIDATE, PARENT, SERVING, VertexStandIn
from tests.models import tiny_answer, tiny_bundle

HERE = Path(__file__).parent
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
RUN_S = 60.0


class EdgeStandIn(VertexStandIn):
    """The stand-in, whose containers are the real ones."""

    serving_command = f"{sys.executable} -m edge_runtime serve"

    def serve_tiny(self, storage, folder):
        _, bundle = tiny_bundle(2)
        sha256 = hashlib.sha256(bundle).hexdigest()
        storage.objects[f"{PREFIX}/{sha256}.fp32.tar"] = bundle
        address = f"127.0.0.1:{storage.server_address[1]}"
        environment = {
            "PACKHORSE_BUNDLE_SHA256": sha256,
            "PACKHORSE_LISTEN_HOST": "127.0.0.1",
            "STORAGE_EMULATOR_HOST": f"http://{address}",
            "GCE_METADATA_HOST": address,
            "TMPDIR": str(folder),
        }
        container = {
            "imageUri": "europe-west4-docker.pkg.dev/p/i/edge:1",
            "healthRoute": "/health",
            "predictRoute": "/predict",
            "env": [{"name": n, "value": v} for n, v in environment.items()],
        }
        model = {
            "displayName": "tiny",
            "containerSpec": container,
            "artifactUri": f"gs://bucket/{PREFIX}/",
        }
        name = f"{PARENT}/models/tiny"
        self._post(f"{PARENT}/models:upload", {"model": model, "modelId": "tiny"})
        until(lambda: self._versions(name))
        deployed = {"id": "102", "model": f"{name}@1", "displayName": "tiny@2"}
        body = {"deployedModel": deployed, "trafficSplit": {"0": 100}}
        self._post(f"{SERVING}:deployModel", body)
        until(lambda: self.get(SERVING).get("trafficSplit"))


@pytest.fixture(scope="module")
def storage():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Storage)
    server.objects, server.failures = {}, 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def function(identity, storage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    stand_in = EdgeStandIn(folder / "vertex")
    with pytest.MonkeyPatch.context() as patch:
        lead_to_google(patch, identity, folder)
        lead_to_vertex(patch, stand_in)
        named = {"candidate": CANDIDATE, "serving": SERVING}
        patch.setenv("MODEL_ENDPOINTS", json.dumps({"tiny": named}))
        try:
            stand_in.serve_tiny(storage, folder)
            with running(folder) as found:
                yield found
        finally:
            stand_in.stop()


def run_client(script, function):
    done = subprocess.run(
        [PYTHON, HERE / script, f"127.0.0.1:{function.port}"],
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
        env={},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def triton(function):
    return run_client("use_tritonclient.py", function)


@pytest.fixture(scope="module")
def kserve(function):
    return run_client("use_kserve.py", function)


def is_right(answer):
    np.testing.assert_allclose(answer, tiny_answer(rows(), 2), rtol=1e-5)


def test_triton_finds_the_server_and_its_models(triton):
    seen = triton["sync"]

    assert seen["live"] == [True, True]
    assert seen["ready"] == [True, True, False, False]
    assert (seen["server"], seen["metadata"]) == ("packhorse", ["2"])
    assert [(m["name"], m["version"]) for m in seen["index"]] == [("tiny", "2")]


@pytest.mark.parametrize(
    "way", ["True True", "True False", "False True", "False False"]
)
def test_triton_is_answered_in_json_and_binary_in_every_combination(triton, way):
    is_right(triton["sync"]["answers"][way])


def test_triton_may_ask_for_the_version_that_is_there(triton):
    is_right(triton["sync"]["version"])
    assert triton["sync"]["other version"] == "[404] tiny@9 is not deployed here"


def test_triton_may_compress_and_set_a_timeout(triton):
    for answer in [*triton["sync"]["compressed"], triton["sync"]["in time"]]:
        is_right(answer)


def test_triton_gets_many_answers_at_once(triton):
    for answer in triton["sync"]["later"] + triton["async"]["answers"]:
        is_right(answer)
    assert triton["async"]["ready"]


@pytest.mark.parametrize("asked", ["config", "statistics", "load"])
def test_triton_is_told_what_is_not_here(triton, asked):
    assert triton["sync"][asked].startswith("[404] this function passes predictions on")


def test_triton_reads_refusals_as_sentences(triton):
    assert "expected the shape" in triton["sync"]["wrong"]
    assert triton["sync"]["wrong"].startswith("[400] ")
    assert triton["sync"]["nobody"] == "[404] there is no model 'nobody' here"


def test_kserves_first_protocol_is_answered(kserve):
    seen = kserve["v1"]

    assert (seen["live"], seen["ready"]) == (True, True)
    assert seen["nobody"].endswith("'404 Not Found'")
    is_right(seen["predict"]["predictions"])


def test_kserves_second_protocol_is_answered_in_json_and_binary(kserve):
    seen = kserve["v2"]

    assert (seen["live"], seen["ready"], seen["model"]) == (True, True, True)
    assert seen["nobody"] is False
    for answer in seen["answers"]:
        is_right(answer)
