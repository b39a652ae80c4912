"""One supervisor to a state directory, or one who does its work; and one agent."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.durable import make_dir, remove_tree, settle
from edge_runtime.errors import ControlError, EdgeError


def open_lock(path: Path) -> int:
    """Open the file that is locked, and make it where there is none.

    A disk that has turned read-only, as one that fails does, has it from before.
    """
    flags = os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, os.O_RDWR | flags, 0o600)
    except IsADirectoryError:
        remove_tree(path)
        return os.open(path, os.O_RDWR | flags, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def only_supervisor(state_dir: Path) -> Iterator[None]:
    """Hold the state directory against a second supervisor.

    Raises:
        ControlError: There is one.
    """
    taken = ControlError(f"another supervisor serves from {state_dir}")
    with only_one(state_dir, "run/supervisor.lock", taken):
        yield


@contextmanager
def only_one(state_dir: Path, name: str, taken: EdgeError) -> Iterator[None]:
    """Hold the lock `name` in the state directory; it ends with the process.

    Raises:
        EdgeError: `taken`, where somebody else holds it.
    """
    path = state_dir / name
    make_dir(path.parent)
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        settle(state_dir)
        yield
    except BlockingIOError as error:
        raise taken from error
    finally:
        os.close(descriptor)
