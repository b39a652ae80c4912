"""Folders of segments, and processes that write to them."""

import os
import subprocess
import sys

import pytest

from tests.edge_runtime.gateways import ROOT


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "predictions"


@pytest.fixture
def start_writer(directory):
    started = []

    def start(name, max_bytes):
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.edge_runtime.prediction_log.writing_process",
                str(directory),
                name,
                str(max_bytes),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
