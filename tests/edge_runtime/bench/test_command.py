"""`edge-runtime bench` against a real server."""

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.edge_runtime.gateways import ROOT, infer_document, install_tiny
from tests.edge_runtime.test_main import run

QUICK = ("--duration", "0.4", "--warm-up", "0.1", "--connections", "4")


@pytest.fixture
def gateway(start_gateway, state_dir):
    install_tiny(state_dir, "a", 1, is_active=True)
    gateway = start_gateway()
    gateway.wait_ready()
    return gateway


def url(gateway, path=""):
    return f"http://127.0.0.1:{gateway.port}{path}"


def test_it_says_how_fast_the_only_model_is(gateway):
    done = run("bench", url(gateway), *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{url(gateway)}/v2/models/tiny/infer\n" in done.stdout
    assert "all 200" in done.stdout
    assert "p99" in done.stdout


@pytest.mark.parametrize("form", [(), ("--binary",)], ids=["json", "binary"])
def test_programs_get_one_json_object(gateway, form):
    done = run("bench", url(gateway), "--json", "--shape", "x=3,4", *form, *QUICK)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["statuses"] == {"200": document["requests"]}
    assert document["binary"] is bool(form)
    assert document["latency_ms"]["p50"] <= document["latency_ms"]["p99"]
    assert document["per_s"] > 0


def test_ones_own_request_is_sent(gateway, tmp_path):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(infer_document([[1.0, 2.0, 3.0, 4.0]])))
    model = url(gateway, "/v2/models/tiny/versions/1")
    done = run("bench", model, "--data", str(path), *QUICK)
    assert done.returncode == 0, done.stderr


def test_a_request_that_the_server_refuses_is_a_failure_with_its_reason(
    gateway, tmp_path
):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(infer_document([[1.0, 2.0]])))
    done = run("bench", url(gateway), "--data", str(path), *QUICK)
    assert done.returncode == 1
    assert "times 400" in done.stdout
    assert "expected the shape" in done.stderr


def test_a_model_that_is_not_there_is_a_sentence(gateway):
    done = run("bench", url(gateway), "--model", "other", *QUICK)
    assert (done.returncode, done.stdout) == (1, "")
    assert "answers 404" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_is_not_there_is_a_sentence():
    done = run("bench", "http://127.0.0.1:1", *QUICK)
    assert done.returncode == 1
    assert done.stderr == (
        "edge-runtime: 127.0.0.1:1 does not answer: [Errno 111] Connection refused\n"
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--connections", "0"),
        ("--duration", "nan"),
        ("--duration", "0"),
        ("--shape", "x"),
        ("--data", "f", "--zeros"),
    ],
)
def test_wrong_usage_is_told_apart(options):
    done = run("bench", "http://127.0.0.1:1", *options)
    assert done.returncode == 2
    assert options[0] in done.stderr


def test_help_shows_examples():
    done = run("bench", "--help")
    assert done.returncode == 0
    assert "edge-runtime bench http://127.0.0.1:8080" in done.stdout


def test_a_terminal_shows_how_far_it_is(gateway):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "bench", url(gateway), *QUICK],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123
        while True:
            try:
                piece = terminal.read(4096)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            seen += piece
    assert process.wait(30) == 0
    assert b"[####" in seen
    assert seen.endswith(b"\r\x1b[K")
