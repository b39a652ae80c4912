"""The agent's process, as a test drives it."""

import json
import os
import subprocess
from pathlib import Path

from tests.crash.steps import python, watched
from tests.edge_runtime.agent.gateway import ROOT

ARCHIVE_BYTES = 9000
"""Room for two of the bundles here: the third makes the archive collect one."""


class AgentProcess:
    """The agent's process, which is started again when it is killed."""

    def __init__(self, log: Path):
        self._log = log
        self._process = None
        self._for = None

    def run(self, environment, *, fault="", record=None, flushes=True):
        """Let an agent run until it is done; return what it says, None if killed."""
        state_dir = environment["PACKHORSE_STATE_DIR"]
        process = self._started(state_dir, record, flushes=flushes)
        order = {"environment": environment, "fault": fault}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if line:
            return json.loads(line)
        self.stop()
        return None

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self, state_dir, record, *, flushes):
        if self._process is None or self._for != (state_dir, record, flushes):
            self.stop()
            self._for = (state_dir, record, flushes)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    python("-m", "tests.crash.agent_process"),
                    env=watched(
                        os.environ,
                        state_dir,
                        log=record,
                        flushes=flushes,
                        role="agent",
                    ),
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
        return self._process


def agent_environment(state_dir, root_file, repository_url, receiver_url):
    return {
        "PACKHORSE_STATE_DIR": str(state_dir),
        "PACKHORSE_DEVICE": "gateway-1",
        "PACKHORSE_RING": "0",
        "PACKHORSE_MODEL": "magika",
        "PACKHORSE_REPOSITORY_URL": repository_url,
        "PACKHORSE_ROOT_FILE": str(root_file),
        "PACKHORSE_ENROLL_URL": f"{receiver_url}/enroll",
        "PACKHORSE_ENROLL_TOKEN": "one-time",
        "PACKHORSE_REPORT_URL": receiver_url,
        "PACKHORSE_PROBATION_S": "0.3",
        "PACKHORSE_SHADOW_S": "0.1",
        "PACKHORSE_ARCHIVE_BYTES": str(ARCHIVE_BYTES),
    }
