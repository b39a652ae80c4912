"""One supervisor to a state directory, or one who does its work while none runs."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.durable import make_dir, settle
from edge_runtime.errors import ControlError


@contextmanager
def only_supervisor(state_dir: Path) -> Iterator[None]:
    """Hold the state directory against a second supervisor.

    Raises:
        ControlError: There is one.
    """
    run_dir = state_dir / "run"
    make_dir(run_dir)
    descriptor = os.open(
        run_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        settle(state_dir)
        yield
    except BlockingIOError as error:
        raise ControlError(f"another supervisor serves from {state_dir}") from error
    finally:
        os.close(descriptor)
