"""A worker is forked from its supervisor, and can be told from it."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from edge_runtime.errors import WorkerError
from edge_runtime.supervision.worker_process import NAME, _read_ready
from tests.edge_runtime.clients import ROW
from tests.edge_runtime.gateways import install_tiny, wait_for


@pytest.fixture
def gateway(start_gateway, state_dir):
    install_tiny(state_dir, "a", 1, is_active=True)
    gateway = start_gateway()
    gateway.wait_ready()
    assert gateway.infer([ROW])[0] == 200
    return gateway


def opened(pid):
    """Return what the descriptors of a process stand for, but the standard three."""
    links = [
        fd.readlink() for fd in Path(f"/proc/{pid}/fd").iterdir() if int(fd.name) > 2
    ]
    return {str(link) for link in links}


def test_a_supervisor_has_one_thread_so_that_it_may_fork_at_any_time(
    gateway, state_dir
):
    pid = gateway.process.pid
    assert psutil.Process(pid).num_threads() == 1
    gateway.kill_worker()
    install_tiny(state_dir, "b", 2)
    assert gateway.order("switch", slot="b")["ok"] is True
    assert psutil.Process(pid).num_threads() == 1


def test_a_worker_has_a_name_of_its_own(gateway):
    supervisor, worker = gateway.process.pid, gateway.status()["worker_pid"]
    assert psutil.Process(worker).name() == NAME
    assert psutil.Process(supervisor).name() != NAME
    assert psutil.Process(worker).ppid() == supervisor


def test_a_worker_shares_the_listening_socket_with_its_supervisor_and_nothing_else(
    gateway,
):
    supervisor, worker = gateway.process.pid, gateway.status()["worker_pid"]
    shared = opened(supervisor) & opened(worker) - {"anon_inode:[eventpoll]"}
    (listening,) = [
        Path(f"/proc/{supervisor}/fd/{c.fd}").readlink()
        for c in psutil.Process(supervisor).net_connections()
        if c.status == psutil.CONN_LISTEN
    ]
    assert shared == {str(listening)}
    assert Path(f"/proc/{worker}/fd/0").readlink() == Path("/dev/null")


@pytest.mark.parametrize(
    ("code", "words"), [(3, "(exit code 3)"), (-signal.SIGSEGV, "(SIGSEGV)")]
)
def test_how_a_worker_ended_that_was_never_ready_is_told(code, words):
    class Ended:
        returncode = code

        async def wait(self):
            return code

    async def main():
        reader = asyncio.StreamReader()
        reader.feed_eof()
        await _read_ready(reader, Ended())

    with pytest.raises(WorkerError, match="before it was ready") as caught:
        asyncio.run(main())
    assert words in str(caught.value)
    assert "the output of `edge-runtime serve`" in str(caught.value)


def test_a_worker_that_ends_leaves_nothing_behind(gateway):
    supervisor = psutil.Process(gateway.process.pid)
    before = supervisor.num_fds()
    dead = gateway.kill_worker()
    wait_for(lambda: gateway.status()["worker_pid"] not in {0, dead})
    wait_for(lambda: supervisor.num_fds() == before)
    assert len(supervisor.children()) == 1


def test_a_worker_is_replaced_though_who_read_the_log_is_gone(
    start_gateway, state_dir, tmp_path
):
    install_tiny(state_dir, "a", 1, is_active=True)
    os.mkfifo(tmp_path / "state.log")
    reader = os.open(tmp_path / "state.log", os.O_RDONLY | os.O_NONBLOCK)
    gateway = start_gateway()
    gateway.wait_ready()
    os.close(reader)
    for _ in range(2):
        dead = gateway.kill_worker()
        wait_for(lambda pid=dead: gateway.status()["worker_pid"] not in {0, pid})
    assert gateway.infer([ROW])[0] == 200


def test_what_only_a_worker_needs_is_not_imported_by_its_supervisor():
    heavy = ("numpy", "onnxruntime", "uvloop", "flask", "edge_runtime.worker")
    code = (
        "import sys, edge_runtime.__main__, edge_runtime.serve\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
