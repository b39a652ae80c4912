"""The interpreter as a process, and a loopback server scripted by the test."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

ROOT = Path(__file__).parents[2]
RELEASE = ROOT / "workflows" / "release.yaml"
PARENT = "projects/packhorse-demo/locations/europe-west4/workflows/release"
STEPS = ("claim", "upload", "candidate", "parity", "open")
WAIT_S = 30.0


def wait_until(condition):
    """Wait for a condition and return what made it true."""
    end = time.monotonic() + WAIT_S
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


class Functions:
    """The functions and the metadata server. A script's last answer is repeated."""

    def __init__(self):
        self.scripts = {
            "/deploy_claim": [(200, {"claimed": True})],
            "/deploy_upload": [(200, {"done": True})],
            "/deploy_candidate": [(200, {"done": True})],
            "/deploy_parity": [(200, {"agrees": True, "reason": ""})],
            "/deploy_open": [(200, {"done": True})],
        }
        self.calls = defaultdict(list)
        self.order = []
        functions = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self):
                audience = parse_qs(urlsplit(self.path).query)["audience"][0]
                assert self.headers["Metadata-Flavor"] == "Google"
                self.answer(200, f"token for {audience}".encode(), "text/plain")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, value = functions.take(self.path, body, self.headers)
                self.answer(status, json.dumps(value).encode(), "application/json")

            def answer(self, status, body, kind):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        serve = {"target": self.server.serve_forever, "args": (0.05,)}
        threading.Thread(**serve, daemon=True).start()

    def take(self, path, body, headers):
        self.calls[path].append((json.loads(body), headers["Authorization"]))
        self.order.append(path.removeprefix("/deploy_"))
        script = self.scripts[path]
        return script.pop(0) if len(script) > 1 else script[0]

    def url(self, step):
        return f"http://{self.host}/deploy_{step}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Workflows:
    """A running interpreter and its REST API."""

    def __init__(self, data, source, environment, metadata_host):
        self.command = [sys.executable, "-m", "local_cloud.workflows"]
        self.command += ["--data", str(data), "--source", f"release={source}"]
        self.command += ["--metadata-host", metadata_host]
        for name, value in environment.items():
            self.command += ["--env", f"{name}={value}"]
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.url = re.search(r"http://\S+", line)[0]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(WAIT_S)
        self.process.stdout.close()

    def ask(self, method, path, **options):
        url = f"{self.url}/v1/{path}"
        return requests.request(method, url, timeout=WAIT_S, **options)

    def create(self, argument, parent=PARENT):
        body = {"argument": json.dumps(argument)}
        reply = self.ask("POST", f"{parent}/executions", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()["name"]

    def wait(self, name):
        """Wait for the end of an execution and return it."""

        def ended():
            execution = self.ask("GET", name).json()
            return execution if execution["state"] != "ACTIVE" else None

        return wait_until(ended)

    def run(self, argument):
        return self.wait(self.create(argument))


@pytest.fixture
def until():
    return wait_until


@pytest.fixture
def functions():
    scripted = Functions()
    yield scripted
    scripted.close()


@pytest.fixture
def start_workflows(tmp_path, functions):
    """Start the interpreter on a file, by default on release.yaml."""
    started = []

    def start(source=RELEASE, **environment):
        urls = {f"DEPLOY_{s.upper()}_URL": functions.url(s) for s in STEPS}
        environment = {"POLL_S": "0.05", **urls, **environment}
        started.append(Workflows(tmp_path, source, environment, functions.host))
        return started[-1]

    yield start
    for workflows in started:
        if workflows.process.poll() is None:
            workflows.end()


@pytest.fixture
def workflows(start_workflows):
    return start_workflows()
