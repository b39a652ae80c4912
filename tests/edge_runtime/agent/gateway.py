"""A real supervisor on a state directory, and a client that asks it."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import urllib3

from edge_runtime.errors import ControlError
from edge_runtime.supervision.control import ask

READY_S = 30.0
ROOT = Path(__file__).parents[3]


def wait_until(condition, what, *, most_s=READY_S):
    """Wait for `condition` to give something, and return it."""
    deadline = time.monotonic() + most_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {most_s} s: {what}")


class Gateway:
    """One supervisor process."""

    def __init__(self, state_dir: Path, log: Path, environment=None, inside=()):
        self.state_dir = state_dir
        self._environment = {
            **os.environ,
            "PACKHORSE_PROBATION_S": "0.3",
            **(environment or {}),
            "PACKHORSE_STATE_DIR": str(state_dir),
            "PACKHORSE_LISTEN": "127.0.0.1:0",
            "PACKHORSE_MODEL": "magika",
            "PACKHORSE_DEVICE": "gateway-1",
        }
        self._inside = inside
        self.log = log
        self._log = log.open("ab")
        self.process = self._started()
        status = wait_until(self.status, "the supervisor answers")
        self._url = f"http://127.0.0.1:{status['port']}"
        self._pool = urllib3.PoolManager(retries=False, timeout=10.0)

    def _started(self):
        return subprocess.Popen(
            [*self._inside, sys.executable, "-m", "edge_runtime", "serve"],
            env=self._environment,
            cwd=ROOT,
            stdout=self._log,
            stderr=self._log,
        )

    def status(self):
        try:
            return ask(self.state_dir, {"do": "status"}, timeout_s=5.0)
        except ControlError:
            return None

    def infer(self, *row):
        """Return the answer's status, its release, and the numbers it holds."""
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": row}
        answer = self._pool.request(
            "POST",
            f"{self._url}/v2/models/magika/infer",
            body=json.dumps({"inputs": [tensor]}),
            # A connection of its own: an open one stays with the worker it met.
            headers={"Content-Type": "application/json", "Connection": "close"},
        )
        if answer.status != 200:
            return answer.status, None, None
        data = answer.json()["outputs"][0]["data"]
        return answer.status, answer.headers["X-Packhorse-Release"], data

    def kill(self):
        """End it, and with it its workers, as a power cut does."""
        for pid in [*children(self.process.pid), self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stop()

    def stop(self):
        self.process.terminate()
        self.process.wait(READY_S)
        self._pool.clear()
        self._log.close()


def children(pid):
    """Return the ids of a process's children."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


@contextmanager
def running_gateway(state_dir, log, environment=None, inside=()):
    """Run one; `inside` is a command that executes what follows it."""
    gateway = Gateway(state_dir, log, environment, inside)
    try:
        yield gateway
    finally:
        gateway.stop()
