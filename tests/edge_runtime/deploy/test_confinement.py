"""The services do all their work inside the walls that their units build."""

import ctypes.util
import os
import platform
import shutil
import subprocess
import sys

import pytest

from packhorse.assignment import RolloutDocument
from tests.edge_runtime.agent.bundles import make_offer
from tests.edge_runtime.agent.gateway import ROOT, running_gateway, wait_until
from tests.tuf_repository import RepositoryServer, TufRepository

DEPLOY = ROOT / "edge_runtime" / "deploy"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="giving up capabilities needs root"),
    pytest.mark.skipif(
        shutil.which("systemd-analyze") is None, reason="apt-get install systemd"
    ),
    pytest.mark.skipif(
        ctypes.util.find_library("seccomp") is None, reason="libseccomp is missing"
    ),
    pytest.mark.skipif(
        tuple(map(int, platform.release().split(".")[:2])) < (6, 3),
        reason="Linux 6.3 is the first that can forbid such memory to a process",
    ),
]


def inside(unit):
    """Return the command that runs what follows it inside the unit's walls."""
    module = "tests.edge_runtime.deploy.filtered"
    return [sys.executable, "-m", module, DEPLOY / f"packhorse-{unit}.service"]


def run_python(unit, script):
    return subprocess.run(
        [*inside(unit), sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def repository(tmp_path):
    return TufRepository(tmp_path / "repository")


@pytest.fixture
def server(repository):
    server = RepositoryServer(repository.folder)
    yield server
    server.stop()


@pytest.mark.parametrize("unit", ["serve", "agent"])
@pytest.mark.parametrize(
    "script",
    [
        "import os; os.chown('/tmp', 0, 0)",
        "import os; os.setuid(1)",
        "import mmap; mmap.mmap(-1, 4096, prot=7)",
        "import time; time.clock_settime(time.CLOCK_REALTIME, 0)",
        "import socket; socket.sethostname('other')",
    ],
    ids=["owner", "user", "code", "clock", "name"],
)
def test_the_walls_are_there(unit, script):
    done = run_python(unit, script)
    assert done.returncode == 1
    assert "PermissionError" in done.stderr


def test_the_agent_may_ask_the_kernel_about_its_clock():
    script = "import ctypes as c; print(c.CDLL(None).adjtimex(bytes(512)))"
    assert int(run_python("agent", script).stdout) >= 0
    assert int(run_python("serve", script).stdout) == -1


def test_a_release_is_pulled_tried_switched_to_and_served_inside_the_walls(
    tmp_path, repository, server
):
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    root_file = tmp_path / "root.json"
    root_file.write_bytes(repository.root_bytes)
    environment = {
        **os.environ,
        "PACKHORSE_STATE_DIR": str(state_dir),
        "PACKHORSE_DEVICE": "gateway-1",
        "PACKHORSE_RING": "0",
        "PACKHORSE_MODEL": "magika",
        "PACKHORSE_REPOSITORY_URL": server.url,
        "PACKHORSE_ROOT_FILE": str(root_file),
        "PACKHORSE_ENROLL_URL": "http://127.0.0.1:1",
        "PACKHORSE_REPORT_URL": "http://127.0.0.1:1",
        "PACKHORSE_POLL_S": "1",
        "PACKHORSE_SHADOW_REQUESTS": "1",
        "PACKHORSE_SHADOW_S": "1",
        "PACKHORSE_MAY_SWITCH": "/bin/true",
        "PACKHORSE_AFTER_SWITCH": "/bin/sh -c 'echo done'",
    }
    with (
        running_gateway(
            state_dir, tmp_path / "serve.log", inside=inside("serve")
        ) as it,
        (tmp_path / "agent.log").open("wb") as log,
        subprocess.Popen(
            [*inside("agent"), sys.executable, "-m", "edge_runtime", "agent"],
            env=environment,
            cwd=ROOT,
            stdout=log,
            stderr=log,
        ) as agent,
    ):
        try:
            for version in (1, 2):
                offer = make_offer(repository, version)
                repository.publish_rollout(
                    RolloutDocument("magika", version, stable=offer)
                )
                name = f"magika@{version}"
                wait_until(lambda n=name: it.infer(1, 2, 3)[1] == n, f"{name} serves")
        finally:
            agent.terminate()
            assert agent.wait(20) == 0
