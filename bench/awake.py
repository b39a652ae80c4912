"""Keep every core awake: `python -m bench.awake CORE` does so for one.

A virtual processor that has nothing to do is given away, and takes tens of µs to
come back: at one connection that is most of what a client waits for, whatever the
server does. A machine that does something else besides never sleeps; neither does
one on which this takes what is left, at idle priority.

Source: sched(7), "SCHED_IDLE" and "The autogroup feature"
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")
_STOP_S = 5.0


@contextmanager
def kept_awake() -> Iterator[None]:
    """Let no core that we may use fall asleep meanwhile."""
    with ExitStack() as stack:
        for core in sorted(os.sched_getaffinity(0)):
            command = [sys.executable, "-m", "bench.awake", str(core)]
            burner = subprocess.Popen(  # noqa: S603 - our own
                command, start_new_session=True
            )
            stack.callback(burner.wait, _STOP_S)
            stack.callback(burner.kill)
        yield


def main() -> None:
    """Burn what is left of a core until whoever started this ends it, or ends."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):  # where sessions are no groups of the scheduler
        _AUTOGROUP.write_text("19")
    parent = os.getppid()
    while os.getppid() == parent:
        sum(range(10_000))


if __name__ == "__main__":
    main()
