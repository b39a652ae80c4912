"""Serve until told to stop: how the stand-ins take SIGTERM and Ctrl-C.

A handler that sets a `threading.Event` can lose the signal: it may run in the main
thread after that has looked at the event and before it sleeps, or while it holds the
event's own lock. So the interpreter writes each signal to a pipe the moment it comes,
and the main thread reads.

Source: docs.python.org/3/library/signal.html, `set_wakeup_fd`
"""

import os
import signal
from collections.abc import Callable

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def take_stop_signals() -> Callable[[], None]:
    """Take both signals from now on; return what waits until one has come."""
    pipe_out, pipe_in = os.pipe()
    os.set_blocking(pipe_in, False)
    signal.set_wakeup_fd(pipe_in, warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        while os.read(pipe_out, 1)[0] not in _SIGNALS:
            pass

    return wait
