"""Hand live requests to the process that tries a candidate, as it asks for them.

It asks with one byte over the socket that is its standard input. The answer is one
byte with the descriptor of a file of live requests; or the end of the line, once
the time for the shadow run is over. So it never gets more than it can answer, and
nothing of a request outlives the try: the file's name is gone before it is sent.

The agent waits here and nowhere else for as long as the try takes, and calls
`checkpoint` about once a second: what it raises ends the try.
"""

import math
import select
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from edge_runtime.agent.switch import Supervisor
from edge_runtime.agent.trial.try_job import ASKING
from edge_runtime.errors import ControlError

LOOK_S = 1.0
"""Between two looks at what came: the worker keeps some of each second."""

SEND_S = 10.0
"""For a byte to a process that asked for it, and reads."""

FINISH_S = 150.0
"""After the shadow run's time, for the request that is being answered: it is run
four times at most, on both models, and each run may take 30 s."""

GIVING = b"!"

Look = Callable[[], BinaryIO | None]
"""Returns a file of live requests that were not seen yet, or None."""
Checkpoint = Callable[[], None]
Child = subprocess.Popen[bytes]


class LiveRequests:
    """What the serving worker has answered since the last look."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Begin with what it keeps now."""
        self._supervisor = supervisor
        self._folder = supervisor.state_dir / "run"
        self._after_us = 0

    def look(self) -> BinaryIO | None:
        """Return a file of them, which has no name any more; None without any."""
        path = self._folder / "recent"
        try:
            last_us = self._supervisor.write_recent(path, self._after_us)
            if last_us is None:
                return None
            self._after_us = last_us
            return path.open("rb")
        except (ControlError, OSError):
            # The worker is busy, ended, or has no room: there is a next time.
            return None
        finally:
            self.clear()

    def clear(self) -> None:
        """Remove what a look left, also one that was never finished."""
        for path in self._folder.glob("recent*"):
            with suppress(OSError):
                path.unlink()


class Feed:
    """One try's line to its process."""

    def __init__(self, look: Look, time_s: float, line: socket.socket) -> None:
        """Give what `look` finds, for `time_s` from the first time it is asked."""
        self._look = look
        self._time_s = time_s
        line.settimeout(SEND_S)
        self._line = line
        self._until_s = math.inf
        self._looked_at_s = -math.inf

    def wait(self, child: Child, wall_s: float, checkpoint: Checkpoint) -> int | None:
        """Wait for the process to end, and give it what it asks for.

        Args:
            child: Has the other end of the line.
            wall_s: Longest time until it asks for the first time, or ends.
            checkpoint: Called about once a second.

        Returns:
            The exit code, negative for a signal; None when time ran out.
        """
        until_s = time.monotonic() + wall_s
        while (left_s := until_s - time.monotonic()) > 0:
            checkpoint()
            if not select.select([self._line], [], [], min(LOOK_S, left_s))[0]:
                continue
            if not _is_asked(self._line):
                return _wait(child, left_s)
            if self._until_s == math.inf:
                self._until_s = time.monotonic() + self._time_s
                until_s = self._until_s + FINISH_S
            self._give(child, checkpoint)
        return None

    def _give(self, child: Child, checkpoint: Checkpoint) -> None:
        """Give the process live requests, or say that there are no more."""
        while child.poll() is None:
            file = self._look_again(checkpoint)
            try:
                if file is not None:
                    with file:
                        socket.send_fds(self._line, [GIVING], [file.fileno()])
                    return
                if time.monotonic() >= self._until_s:
                    self._line.shutdown(socket.SHUT_WR)
                    return
            except OSError:
                return  # it has ended, or does not read; `wait` finds out which

    def _look_again(self, checkpoint: Checkpoint) -> BinaryIO | None:
        """Look, not sooner than a second after the last time."""
        wait_s = self._looked_at_s + LOOK_S - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, max(0.0, self._until_s - time.monotonic())))
            checkpoint()
            if time.monotonic() >= self._until_s:
                return None
        self._looked_at_s = time.monotonic()
        return self._look()


def _is_asked(line: socket.socket) -> bool:
    """Read what the process said; False when it has ended, or will."""
    try:
        return line.recv(1) == ASKING
    except ConnectionResetError:
        return False


def _wait(child: Child, most_s: float) -> int | None:
    try:
        return child.wait(most_s)
    except subprocess.TimeoutExpired:
        return None
