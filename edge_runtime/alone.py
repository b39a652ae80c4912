"""One supervisor to a state directory, or one who does its work while none runs."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.durable import make_dir, remove_tree, settle
from edge_runtime.errors import ControlError


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
    run_dir = state_dir / "run"
    make_dir(run_dir)
    descriptor = open_lock(run_dir / "supervisor.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        settle(state_dir)
        yield
    except BlockingIOError as error:
        raise ControlError(f"another supervisor serves from {state_dir}") from error
    finally:
        os.close(descriptor)
