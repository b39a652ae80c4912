"""Start real gateways, install into their slots, and talk to them over sockets."""

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from edge_runtime import durable
from edge_runtime.errors import ControlError
from edge_runtime.slots import open_slots
from edge_runtime.supervision.control import ask
from packhorse.bundle import BUNDLE_MAX_BYTES, read_bundle
from tests.models import tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0


def install(state_dir, slot_name, bundle):
    """Install a bundle's bytes into a slot, as the agent does."""
    slot = open_slots(state_dir).slot(slot_name)
    slot.clear()
    reader = read_bundle(io.BytesIO(bundle), limit_bytes=BUNDLE_MAX_BYTES)
    for member, chunks in reader.members():
        durable.write_file(slot.member_path(member.name), chunks)
    slot.seal(reader.manifest)
    return slot


def install_tiny(state_dir, slot_name, version=1, *, is_active=False, **parts):
    """Install a tiny release; say whether it is the active one."""
    slot = install(state_dir, slot_name, tiny_bundle(version, **parts)[1])
    if is_active:
        open_slots(state_dir).activate(slot)
    return slot


def wait_for(condition, timeout_s=START_S):
    """Wait until `condition()` is true and return its value."""
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout_s} s in vain for {condition}")


def serve_in_vain(state_dir, **settings):
    """Run an `edge-runtime serve` that cannot serve to its end."""
    return subprocess.run(
        [sys.executable, "-m", "edge_runtime", "serve"],
        env={
            "PYTHONPATH": str(ROOT),
            "PACKHORSE_STATE_DIR": str(state_dir),
            "PACKHORSE_LISTEN": "127.0.0.1:0",
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


class Gateway:
    """One `edge-runtime serve` process."""

    def __init__(self, state_dir, **settings):
        self.state_dir = state_dir
        self.log = state_dir.parent / f"{state_dir.name}.log"
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **{k: v for k, v in os.environ.items() if k.startswith("COV")},
            "PACKHORSE_STATE_DIR": str(state_dir),
            "PACKHORSE_LISTEN": "127.0.0.1:0",
            **settings,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_runtime", "serve"],
                env=environ,
                cwd="/",
                stdout=log,
                stderr=log,
            )
        self.port = 0

    def wait_serving(self):
        """Wait until some worker is on duty."""
        status = wait_for(lambda: self._alive() and self._duty())
        self.port = status["port"]
        return status

    def wait_ready(self):
        """Wait until a release is served."""
        status = wait_for(lambda: self._alive() and self._duty("ready"))
        self.port = status["port"]
        return status

    def status(self):
        return ask(self.state_dir, {"do": "status"}, timeout_s=10.0)

    def order(self, do, **fields):
        return ask(self.state_dir, {"do": do, **fields}, timeout_s=60.0)

    def request(self, method, path, body=None, headers=None):
        """Send one request on its own connection: (status, headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()

    def get(self, path):
        return self.request("GET", path)

    def infer(self, rows, model="tiny"):
        """Ask for tiny rows by v2 JSON; return (status, document)."""
        body = json.dumps(infer_document(rows))
        status, _, reply = self.request("POST", f"/v2/models/{model}/infer", body)
        return status, json.loads(reply)

    def connect(self):
        """Open a raw connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def kill_worker(self, number=signal.SIGKILL):
        """Kill the worker on duty; return its pid."""
        pid = self.status()["worker_pid"]
        os.kill(pid, number)
        return pid

    def stop(self):
        """Ask it to stop; return the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def _alive(self):
        assert self.process.poll() is None, self.log.read_text()
        return True

    def _duty(self, field="worker_pid"):
        try:
            status = self.status()
        except ControlError:
            return None
        return status if status[field] else None


def infer_document(rows):
    """Return a v2 request for the tiny model."""
    return {
        "inputs": [
            {
                "name": "x",
                "datatype": "FP32",
                "shape": [len(rows), len(rows[0])],
                "data": [value for row in rows for value in row],
            }
        ]
    }
