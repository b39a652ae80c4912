"""Let a disk seem full to this process."""

import errno
import os
import resource
import sys
from contextlib import contextmanager

from edge_runtime import durable

TAKES_ROOM = {"create", "allocate", "write", "mkdir", "symlink"}

_full = set()
"""State directories whose disk has no room but what their reserve holds."""


@contextmanager
def files_end_at(limit_bytes):
    """The error is EFBIG in place of ENOSPC; what comes before it is the same."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def full_but_for_the_reserve(state_dir):
    """No durable step below `state_dir` finds room while its reserve is there."""
    assert (state_dir / "reserve").is_file()
    _full.add(str(state_dir))
    try:
        yield
    finally:
        _full.discard(str(state_dir))


def _refuse(event, arguments):
    if event != durable.EVENT or arguments[0] not in TAKES_ROOM:
        return
    for state_dir in _full:
        reserve = os.path.join(state_dir, "reserve")  # noqa: PTH118 - no new events
        if arguments[1].startswith(f"{state_dir}/") and os.path.lexists(reserve):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[1])


sys.addaudithook(_refuse)
