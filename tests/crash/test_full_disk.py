"""A disk that is really full: a small file system holds the state directory.

It takes root to mount one, and ext4 loop devices; elsewhere this is skipped, but in
CI.
"""

import os
import subprocess
from contextlib import contextmanager, suppress

import pytest

from edge_runtime.agent.pull import FREE_MIN_BYTES
from edge_runtime.slots import Slots
from edge_runtime.supervision.handover import load_handover
from packhorse.report import DeviceState
from tests.crash.ext4 import Ext4, why_not
from tests.crash.life import SERVE, copy_state
from tests.crash.recovery import Recovery, check_reports
from tests.crash.scope import tally
from tests.crash.steps import watched
from tests.edge_runtime.agent.gateway import running_gateway, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")

SIZE_BYTES = FREE_MIN_BYTES + 4 * 1024 * 1024
"""Room for a gateway with bundles of some kilobytes."""

NO_ROOM_BYTES = FREE_MIN_BYTES // 2
"""Left for reports; a download takes none of it."""

LOOKS = 6
"""So often the agent tries before it says what fails."""


@contextmanager
def tmpfs(ram):
    folder = ram / "small"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "packhorse-test", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True, timeout=60)


@contextmanager
def ext4(ram):
    if why_not():
        pytest.skip(why_not())
    with Ext4.made(ram / "image", ram / "small").mounted() as folder:
        yield folder


@pytest.fixture
def small_disk(ram):
    with tmpfs(ram) as folder:
        yield folder


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True, timeout=60)


def fill(file, left_bytes):
    """Let `file` take all space but so much."""
    file.unlink(missing_ok=True)
    disk = os.statvfs(file.parent)
    with file.open("wb") as opened:
        os.posix_fallocate(
            opened.fileno(), 0, disk.f_bavail * disk.f_frsize - left_bytes
        )


def test_a_full_disk_is_told_and_waited_for_while_the_release_serves(
    life, ram, small_disk
):
    chapter = next(c for c in life.chapters if c.name == "a second release")
    state_dir, filler = small_disk / "state", small_disk / "filler"
    copy_state(chapter.before, state_dir)
    recovery = Recovery(life, ram)
    serve = watched(SERVE, state_dir)
    with (
        recovery.cloud(chapter) as (environment, receiver),
        running_gateway(state_dir, recovery.serve_log, serve) as gateway,
    ):
        settings = environment(state_dir)

        def look(times):
            """Let the agent look so often, with what the disk has; return its news."""
            recovery.run_agent(settings | {"CRASH_LOOKS": str(times)})
            assert gateway.infer(1, 2, 3)[1] == "magika@1"
            assert Slots(state_dir).active().verify()
            return check_reports(receiver)

        try:
            fill(filler, 0)
            begun = look(2)
            fill(filler, NO_ROOM_BYTES)
            told = look(LOOKS)
            filler.unlink()
            said = recovery.run_agent(settings)
            wait_until(lambda: gateway.infer(1, 2, 3)[1] == "magika@2", "it goes on")
        finally:
            recovery.stop()
    # With the room that was kept, it can at least say what it is about to do.
    assert [r.state for r in begun] == [DeviceState.OFFERED]
    assert [r.state for r in told][-1:] == [DeviceState.FAILED], said
    assert "bytes are kept" in told[-1].reason or "the disk has" in told[-1].reason
    assert check_reports(receiver)[-1].state is DeviceState.SERVING
    tally("a full disk", faults=2, bad=0)


def fill_up(file):
    """Let `file` take every block that is left, also those that nobody counts."""
    fill(file, 1024 * 1024)
    with file.open("ab", buffering=0) as opened:
        for length in (65_536, 4096, 1):
            with suppress(OSError):
                while True:
                    opened.write(b"x" * length)


@pytest.mark.parametrize("made", [tmpfs, ext4])
def test_a_withdrawal_is_obeyed_on_a_disk_that_is_full_to_the_last_byte(
    life, ram, made
):
    chapter = next(c for c in life.chapters if c.name == "a withdrawal")
    recovery = Recovery(life, ram)
    with made(ram) as disk:
        state_dir = disk / "state"
        copy_state(chapter.before, state_dir)
        assert (state_dir / "reserve").is_file()
        serve = watched(SERVE, state_dir)
        with (
            recovery.cloud(chapter) as (environment, receiver),
            running_gateway(state_dir, recovery.serve_log, serve) as gateway,
        ):
            wait_until(lambda: gateway.infer(1, 2, 3)[1] == "magika@4", "it serves")
            fill_up(disk / "filler")
            try:
                recovery.run_agent(environment(state_dir) | {"CRASH_LOOKS": "1"})
            finally:
                recovery.stop()
            assert gateway.infer(1, 2, 3)[1] == "magika@1"
            told = [(r.state, str(r.release)) for r in check_reports(receiver)]
            assert told[-1] == (DeviceState.SERVING, "magika@1")
        slots = Slots(state_dir)
        assert str(slots.active().verify().release) == "magika@1"
        assert slots.inactive().release is None
        assert str(load_handover(state_dir).release) == "magika@1"
    tally("a withdrawal on a full disk", faults=1, bad=0)
