"""Run a command that cannot outlive the one who started it.

Stands in for what a container runtime does: `tether.py PARENT_PID COMMAND...`
runs the command in a process group of its own, hands SIGTERM on to it, and
kills the whole group when the command ends, when its grace is over, or when the
parent dies, by whatever signal. It is a script of its own, run with `-I -S`, so
that it starts in milliseconds and is single-threaded where it forks.
"""

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from types import FrameType

_PR_SET_PDEATHSIG = 1
GRACE_S = 10
"""Google stops a container with SIGTERM and SIGKILL ten seconds later."""

_HANDLED = (signal.SIGUSR1, signal.SIGTERM)


def _die_with_parent(death_signal: signal.Signals) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal))


def main(parent_pid: int, command: list[str]) -> int:
    """Run `command` to its end and return its exit code."""
    child: subprocess.Popen[bytes] | None = None

    def kill_group(*_: object) -> None:
        if child is not None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)

    def die(_number: int, _frame: FrameType | None) -> None:
        kill_group()
        os._exit(1)

    def stop(_number: int, _frame: FrameType | None) -> None:
        if child is not None:
            child.send_signal(signal.SIGTERM)
        signal.signal(signal.SIGALRM, kill_group)
        signal.alarm(GRACE_S)

    def enter_group() -> None:
        _die_with_parent(signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)

    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    signal.signal(signal.SIGUSR1, die)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(signal.SIGUSR1)
    if os.getppid() != parent_pid:
        return 1
    child = subprocess.Popen(  # noqa: S603  the caller's own command
        command,
        start_new_session=True,
        preexec_fn=enter_group,  # noqa: PLW1509  there is one thread only
    )
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    code = child.wait()
    kill_group()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
