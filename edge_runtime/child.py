"""A process forked from one that runs an event loop, and how its end is seen.

A fork shares what the parent has imported: a child begins at once, and holds 5 MiB
less than one that imports it all again. It is safe where the parent has one thread,
so nothing here starts another; a child's end is seen by a descriptor of it.

Source: Linux, pidfd_open(2); proc_pid_comm(5)
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

from edge_runtime.log import log

_LOOK_S = 0.02
"""How often a child is looked at where the kernel has no descriptors of processes."""

_STATUS_UNKNOWN = 255
"""What asyncio, too, says of a child whose status somebody else has taken."""


class Child:
    """A child of this process.

    Attributes:
        returncode: None while it runs; negative for the signal that ended it.
    """

    def __init__(self, pid: int) -> None:
        """Watch `pid`, from the event loop's thread."""
        self.pid = pid
        self.returncode: int | None = None
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._descriptor = _open_pidfd(pid)
        if self._descriptor is None:
            self._look()
        else:
            self._loop.add_reader(self._descriptor, self._look)

    async def wait(self) -> int:
        """Wait for it to end; return its exit code."""
        code: int = await asyncio.shield(self._ended)
        return code

    def terminate(self) -> None:
        """Ask it to end, if it has not."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it, if it has not."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        # An id is not given to another process before `_look` has seen the end.
        if self.returncode is None:
            os.kill(self.pid, number)

    def _look(self) -> None:
        """Take note of its end, or look again."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            pid, code = self.pid, _STATUS_UNKNOWN
        if not pid:
            if self._descriptor is None:
                self._loop.call_later(_LOOK_S, self._look)
            return
        self.returncode = code
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
        self._ended.set_result(code)


def _open_pidfd(pid: int) -> int | None:
    """Return a descriptor of a process; None where there are none.

    Some kernels do not have them, and some containers do not allow them.
    """
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def fork(work: Callable[[], int], *, name: str, kept: Collection[int]) -> Child:
    """Do `work` in a child, which ends with what it returns.

    Args:
        work: The child's whole life; nothing of the caller's runs in it afterwards.
        name: What `ps` and `/proc/PID/comm` call it, 15 characters at most.
        kept: Descriptors that it keeps beside standard output and error.

    Raises:
        OSError: The machine has no room for another process.
    """
    # A signal is either the parent's, or the child's own once it is itself.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(work, name, kept)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return Child(pid)


def _live(work: Callable[[], int], name: str, kept: Collection[int]) -> NoReturn:
    """Live the child's life on top of the parent's frames, and end the process.

    Those frames hold the parent's loop and its sockets. Were they left, these would
    be collected, and close numbers that are the child's own descriptors by then.
    """
    code = 1
    try:
        _become_itself(name, kept)
        code = work()
    except BaseException as error:  # noqa: BLE001 - above are the parent's frames
        place = traceback.extract_tb(error.__traceback__)[-1]
        log(
            "child_broke",
            name=name,
            kind=type(error).__name__,
            reason=str(error)[:200],
            place=f"{Path(place.filename).name}:{place.lineno}",
        )
    finally:
        with contextlib.suppress(Exception):  # who read our output may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _become_itself(name: str, kept: Collection[int]) -> None:
    """Let go of all that is the parent's."""
    gc.freeze()  # nothing of the parent's is collected, or written to for that
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _close_all_but(kept)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def _close_all_but(kept: Collection[int]) -> None:
    """Close every descriptor that was inherited, but for the standard three."""
    first = 3
    for last in [*sorted(kept), os.sysconf("SC_OPEN_MAX")]:
        if first < last:  # Python 3.11 closes all when told to close 0 to 0
            os.closerange(first, last)
        first = last + 1
