"""What is uploaded starts by itself: in an empty folder, with its own packages only."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest
import yaml

from cloudbuild.archive import ROOT, ArchiveError, deployed_files, write_archive
from functions import settings
from functions.adapters.vertex import Vertex
from local_cloud.ports import free_port
from packhorse.names import Release
from tests.functions.vertex_stand_in import PARENT, SERVING

DEPLOYED = yaml.safe_load((ROOT / "functions" / "deploy.yaml").read_text())["functions"]
PREDICT = DEPLOYED["predict"]
UV = str(Path(sys.executable).with_name("uv"))
ROWS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}
START_S = 30


def run(*command, **kwargs):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **kwargs
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The archive of the prediction function, in a folder where nothing else is."""
    folder = tmp_path_factory.mktemp("uploaded")
    write_archive("predict", folder.with_suffix(".zip"))
    with zipfile.ZipFile(folder.with_suffix(".zip")) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def programs(unpacked, tmp_path_factory):
    """A new environment with what the archive's `requirements.txt` says, as built."""
    venv = tmp_path_factory.mktemp("builder") / "venv"
    run(UV, "venv", "--quiet", "--python", sys.executable, venv)
    python = venv / "bin" / "python"
    requirements = unpacked / "requirements.txt"
    install = (UV, "pip", "sync", "--quiet", "--require-hashes", "--python", python)
    run(*install, requirements)
    run(UV, "pip", "check", "--quiet", "--python", python)
    run(python, "-m", "compileall", "-q", unpacked)
    return venv / "bin"


@pytest.fixture
def environ(identity, vertex, programs):
    """Exactly what the function is given on Cloud Run, and the way to Google."""
    given = {
        name: os.environ[name] for name in PREDICT["settings"] if name in os.environ
    }
    if PREDICT["asgi"]:
        given["FUNCTION_USE_ASGI"] = "true"
    return {
        **given,
        "PATH": str(programs),
        "PORT": str(free_port()),
        "FUNCTION_TARGET": "predict",
        "K_SERVICE": "predict",
        "GCE_METADATA_HOST": identity.host,
        "GCE_METADATA_IP": identity.host,
    }


@pytest.fixture
def function(unpacked, programs, environ):
    """The URL of the function, started as its builder's image starts it."""
    process = subprocess.Popen(
        [programs / "functions-framework"],
        cwd=unpacked,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{environ['PORT']}"
    try:
        wait_until_live(url, process)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=20)


def wait_until_live(url, process):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        try:
            ask(f"{url}/v2/health/live")
        except urllib.error.URLError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("the function did not come up")


def ask(url, document=None):
    body = None if document is None else json.dumps(document).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.headers, json.load(reply)


def serve(stand_in, release):
    """Deploy a release on the serving endpoint, alone."""
    number = stand_in.upload(release)
    vertex = Vertex(settings.serving_settings(os.environ))
    version = f"{PARENT}/models/{release.model}@{number}"
    deadline = time.monotonic() + 60
    while not vertex.ensure_deployed(
        SERVING, release, version=version, deployed_id="101"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    vertex.move_traffic(vertex.read_endpoint(SERVING), {release: 100})


def test_the_archive_lives_and_predicts_with_its_own_packages_only(function, vertex):
    serve(vertex, Release("magika", 1))

    _, live = ask(f"{function}/v2/health/live")
    headers, answer = ask(f"{function}/v2/models/magika/infer", ROWS)

    assert live == {"live": True}
    assert answer["outputs"][0]["data"] == [2.0, 4.0]
    assert headers["X-Packhorse-Release"] == "magika@1"


def test_nothing_of_the_repository_is_where_the_archive_runs(
    unpacked, programs, environ
):
    script = "import sys; print(*sys.path, sep='\\n')"
    path = run(programs / "python", "-c", script, cwd=unpacked, env=environ)
    missing = "import importlib.util as u; print(u.find_spec('edge_runtime'))"
    found = run(programs / "python", "-c", missing, cwd=unpacked, env=environ)

    assert str(ROOT) not in path
    assert found.strip() == "None"


def test_no_google_sdk_and_no_runtime_comes_with_predictions(programs):
    # Seconds of every cold start, and hundreds of megabytes.
    heavy = "google.cloud.aiplatform google.cloud.storage grpc onnxruntime sqlalchemy"
    script = (
        "import importlib.util as u\n"
        "def has(n):\n"
        "    try: return u.find_spec(n) is not None\n"
        "    except ModuleNotFoundError: return False\n"
        f"print([n for n in {heavy.split()!r} if has(n)])"
    )

    assert run(programs / "python", "-c", script).strip() == "[]"


@pytest.mark.parametrize("name", sorted(DEPLOYED))
def test_every_archive_has_an_entry_and_the_functions_own_requirements(name):
    files = deployed_files(name)

    assert files["main.py"] == ROOT / "main.py"
    assert files["requirements.txt"] == ROOT / DEPLOYED[name]["requirements"]
    assert f"functions/{name}.py" in files
    tops = {member.partition("/")[0] for member in files}
    assert tops == {"LICENSE", "functions", "main.py", "packhorse", "requirements.txt"}
    assert not [member for member in files if "__pycache__" in member]


def test_the_same_source_makes_the_same_archive(tmp_path):
    write_archive("predict", tmp_path / "one.zip")
    write_archive("predict", tmp_path / "other.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()


def test_a_function_that_is_not_listed_has_no_archive(tmp_path):
    with pytest.raises(ArchiveError, match="nobody"):
        write_archive("nobody", tmp_path / "out.zip")
