"""Several processes of one worker, and how they come, go and die together."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_runtime.live_requests import read_requests
from edge_runtime.recent import BURST_S
from tests.edge_runtime.clients import ROW, problems
from tests.edge_runtime.gateways import ROOT, install_tiny, wait_for


@pytest.fixture
def start(start_gateway, state_dir):
    def start(processes=2, **settings):
        install_tiny(state_dir, "a", 1, is_active=True)
        gateway = start_gateway(PACKHORSE_PROCESSES=str(processes), **settings)
        gateway.wait_ready()
        return gateway

    return start


def mates(gateway):
    """Return the pids of the worker's other processes."""
    pid = gateway.status()["worker_pid"]
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(text) for text in children.read_text().split()] if pid else []


def open_files(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def has_ended(pid):
    return not Path(f"/proc/{pid}").exists()


def answered(gateway):
    """Return how many inferences all processes together say they answered."""
    text = gateway.get("/metrics")[2].decode()
    pattern = r'^packhorse_requests_total\{[^}]*outcome="ok"[^}]*\} (\d+)'
    return sum(int(count) for count in re.findall(pattern, text, re.MULTILINE))


def test_every_process_answers_and_one_tells_what_all_have_measured(start):
    gateway = start(processes=3)
    assert len(mates(gateway)) == 2
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: gateway.infer([ROW])[0], range(120)))
    assert replies == [200] * 120
    for _ in range(5):
        wait_for(lambda: answered(gateway) == 120, timeout_s=5.0)
        statistics = json.loads(gateway.get("/v2/models/tiny/stats")[2])
        assert statistics["model_stats"][0]["inference_count"] == 120


def test_a_burst_of_connections_is_shared_between_the_processes(start):
    gateway = start(processes=2)
    pids = (gateway.status()["worker_pid"], *mates(gateway))
    before = [open_files(pid) for pid in pids]
    with contextlib.ExitStack() as connections:
        for _ in range(24):
            connections.enter_context(gateway.connect())
        wait_for(lambda: sum(map(open_files, pids)) == sum(before) + 24)
        taken = [open_files(pid) - was for pid, was in zip(pids, before, strict=True)]
    assert min(taken) >= 8


def test_a_switch_under_load_loses_no_request(start, state_dir, start_clients):
    gateway = start()
    clients = start_clients(gateway.port, 6)
    install_tiny(state_dir, "b", 2)
    before = [gateway.status()["worker_pid"], *mates(gateway)]

    assert gateway.order("switch", slot="b")["ok"] is True

    wait_for(lambda: all(c.versions and c.versions[-1] == 2 for c in clients))
    assert problems(clients) == []
    assert not any(map(has_ended, before))  # they are kept warm
    assert gateway.order("roll_back")["ok"] is True
    assert gateway.infer([ROW])[1]["model_version"] == "1"


def test_a_process_that_dies_takes_its_worker_along_and_another_is_started(start):
    gateway = start()
    worker, (mate,) = gateway.status()["worker_pid"], mates(gateway)

    os.kill(mate, signal.SIGKILL)

    wait_for(lambda: gateway.status()["worker_pid"] not in {0, worker})
    assert gateway.infer([ROW])[0] == 200
    assert has_ended(worker)
    assert len(mates(gateway)) == 1
    events = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    assert [e["code"] for e in events if e["event"] == "worker_died"] == [-9]
    assert not [e for e in events if e["event"] == "child_broke"]


def test_a_worker_that_is_killed_leaves_no_process_behind(start):
    gateway = start(processes=3)
    left = mates(gateway)
    dead = gateway.kill_worker()
    wait_for(lambda: all(map(has_ended, left)))
    wait_for(lambda: gateway.status()["worker_pid"] not in {0, dead})
    assert gateway.infer([ROW])[0] == 200


def test_stopping_ends_every_process(start):
    gateway = start(processes=3)
    pids = [gateway.status()["worker_pid"], *mates(gateway)]
    assert gateway.stop() == 0
    assert all(map(has_ended, pids))
    assert "mate_killed" not in gateway.log.read_text()


def test_a_supervisor_that_is_killed_leaves_no_process_behind(start):
    gateway = start(processes=3)
    pids = [gateway.status()["worker_pid"], *mates(gateway)]
    gateway.process.kill()
    gateway.process.wait()
    wait_for(lambda: all(map(has_ended, pids)))


def test_the_last_requests_of_all_processes_are_had_as_one(start):
    gateway = start()
    for number in range(79):
        gateway.infer([[float(number), 0.0, 0.0, 0.0]])
    time.sleep(BURST_S)  # of a burst only the first are kept
    gateway.infer([[79.0, 0.0, 0.0, 0.0]])
    path = gateway.state_dir / "recent"

    assert gateway.order("recent", path=str(path))["count"] == 32

    with path.open("rb") as file:
        seen = {float(r.inputs["x"][0, 0]) for r in read_requests(file)}
    assert len(seen) == 32
    assert 79.0 in seen
    assert [p.name for p in gateway.state_dir.glob("recent*")] == ["recent"]


def test_where_a_library_has_threads_one_process_stays_alone(start):
    """OpenBLAS starts one for each processor when numpy is imported."""
    code = (
        "import numpy, os\n"
        "from edge_runtime.crew import fork_crew\n"
        "print(len(fork_crew(3, -1).mates))\n"
    )
    environ = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    environ["OPENBLAS_NUM_THREADS"] = "2"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "processes_refused" in done.stdout
    assert done.stdout.splitlines()[-1] == "0"
