"""What the tests stand under holds: nothing skipped in CI, nothing beyond loopback."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import BeyondLoopbackError

ROOT = Path(__file__).resolve().parents[1]
SKIPPING = """
import pytest
def test_one(): pytest.skip("something is missing")
def test_two(): pass
"""
SKIPPED_WHOLE = """
import pytest
pytest.skip("something is missing", allow_module_level=True)
"""
PASSING = "def test_two(): pass"


def run(folder, source, *words, **environment):
    """Run pytest on a file under our conftest."""
    (folder / "test_it.py").write_text(source)
    # Beside it, a test that passes: not even one test is another failure.
    (folder / "test_other.py").write_text(PASSING)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest"]
    command += ["-p", "no:cacheprovider", f"--rootdir={folder}", str(folder), *words]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [(), ("-n", "2")], ids=["alone", "workers"])
@pytest.mark.parametrize("source", [SKIPPING, SKIPPED_WHOLE], ids=["test", "module"])
def test_a_skipped_test_fails_a_run_in_ci(tmp_path, source, words):
    done = run(tmp_path, source, *words, CI="true")

    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "CI skips nothing, but these were" in done.stdout
    assert "test_it.py" in done.stdout.partition("these were")[2]


def test_a_run_that_skips_nothing_passes_in_ci(tmp_path):
    done = run(tmp_path, PASSING, "-n", "2", CI="true")

    assert done.returncode == 0, done.stdout


def test_a_skipped_test_fails_no_run_elsewhere(tmp_path):
    done = run(tmp_path, SKIPPING)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "address", [("192.0.2.1", 80), ("::ffff:192.0.2.1", 80), ("example.com", 80)]
)
def test_a_connection_beyond_loopback_is_refused(address):
    with pytest.raises(BeyondLoopbackError, match="loopback"):
        socket.create_connection(address, timeout=0.1)


def test_a_datagram_beyond_loopback_is_refused():
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sender,
        pytest.raises(BeyondLoopbackError, match="loopback"),
    ):
        sender.sendto(b"x", ("192.0.2.1", 53))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_loopback_is_open(host):
    # Nobody listens there: what matters is who refuses.
    with pytest.raises(OSError, match=r"refused|assign|unreachable"):
        socket.create_connection((host, 1), timeout=1)
