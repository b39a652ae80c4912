"""Room that is kept for a full disk."""

import errno
import os
from types import SimpleNamespace

import pytest

from edge_runtime import reserve
from edge_runtime.reserve import LEAST_BYTES, RESERVE_BYTES, Reserve
from tests.edge_runtime.full_disk import full_but_for_the_reserve


@pytest.fixture
def free(monkeypatch):
    """Return a function that says how much is free."""

    def free(length_bytes):
        disk = SimpleNamespace(f_bavail=length_bytes, f_frsize=1)
        monkeypatch.setattr(reserve.os, "statvfs", lambda _: disk)

    return free


def taken(tmp_path):
    return sum(path.stat().st_blocks * 512 for path in tmp_path.iterdir())


def full(times):
    """Return work that finds the disk full so often, and then says how often."""
    done = []

    def work():
        done.append(None)
        if len(done) <= times:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(done)

    return work


def test_its_space_is_really_taken_and_given_back_to_whoever_finds_none(tmp_path):
    kept = Reserve(tmp_path)
    kept.keep()
    assert taken(tmp_path) >= RESERVE_BYTES

    assert kept.spend_for(full(times=1)) == 2

    assert taken(tmp_path) == 0


def test_a_disk_that_is_full_all_the_same_is_an_error(tmp_path):
    kept = Reserve(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        kept.spend_for(full(times=1))
    kept.keep()
    with pytest.raises(OSError, match="No space left"):
        kept.spend_for(full(times=2))


def test_another_error_costs_nothing(tmp_path):
    kept = Reserve(tmp_path)
    kept.keep()

    def broken():
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OSError, match="Input/output"):
        kept.spend_for(broken)
    assert taken(tmp_path) >= RESERVE_BYTES


def test_as_much_is_left_to_others_and_more_is_taken_once_there_is_more(tmp_path, free):
    kept = Reserve(tmp_path)
    for free_bytes, expected_bytes in (
        (2 * LEAST_BYTES - 4096, 0),
        (4 * LEAST_BYTES, 2 * LEAST_BYTES),
        (5 * LEAST_BYTES, 2 * LEAST_BYTES),
        (10 * RESERVE_BYTES, RESERVE_BYTES),
        (0, RESERVE_BYTES),
    ):
        free(free_bytes)
        kept.keep()
        assert taken(tmp_path) == expected_bytes


def test_what_a_killed_agent_left_beside_it_is_given_back_too(tmp_path):
    (tmp_path / ".reserve.partial").write_bytes(b"x" * LEAST_BYTES)
    assert Reserve(tmp_path).spend_for(full(times=1)) == 2
    assert taken(tmp_path) == 0


def test_a_disk_that_fills_up_while_it_is_taken_keeps_none(tmp_path):
    (tmp_path / "reserve").write_bytes(b"x" * 4096)
    with full_but_for_the_reserve(tmp_path):
        Reserve(tmp_path).keep()  # the former gives way first
        assert taken(tmp_path) >= RESERVE_BYTES
    missing = Reserve(tmp_path / "missing")
    missing.keep()
    assert not missing.path.exists()
