"""Record, or spoil, the durable steps of any Python process that sees this folder.

Python imports `sitecustomize` before anything else. With this folder in PYTHONPATH
the real `edge-runtime serve`, its workers and the agent are all watched, and not a
line of them is changed:

    CRASH_STATE_DIR   only steps below it count
    CRASH_LOG         a file to which each step is appended before it is taken
    CRASH_FAULT       `kill:7`: die at the 7th step; `ENOSPC:7:3`: fail it and the
                      two after it
    CRASH_NO_FLUSH    nothing is flushed: the process is as bad as most are
"""

import base64
import errno
import os
import pickle
import signal
import sys
from pathlib import Path

EVENT = "packhorse.durable"
PATHS = {"rename": 2}
"""How many of a step's arguments are paths; one, for all others."""


class Fault:
    """What happens at the n-th step of this process."""

    def __init__(self, text):
        self.arm(text)

    def arm(self, text):
        kind, _, numbers = text.partition(":")
        first, _, count = numbers.partition(":")
        self.kind = kind
        self.first = int(first or 0)
        self.last = self.first + int(count or 1) - 1
        self.taken = 0
        self.hits = 0

    def meet(self):
        self.taken += 1
        if not self.first <= self.taken <= self.last or not self.first:
            return
        self.hits += 1
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(getattr(errno, self.kind), os.strerror(getattr(errno, self.kind)))


def relative(paths, root):
    return [os.path.relpath(path, root) for path in paths]


def encode(name, arguments, root):
    """Write one step as one line."""
    count = PATHS.get(name, 1)
    rest = [bytes(a) if isinstance(a, memoryview) else a for a in arguments[count:]]
    step = (name, *relative(arguments[:count], root), *rest)
    return base64.b64encode(pickle.dumps(step)) + b"\n"


def install(environment):
    root = environment["CRASH_STATE_DIR"]
    log = environment.get("CRASH_LOG")
    fault = Fault(environment.get("CRASH_FAULT", ""))

    def watch(event, arguments):
        if event != EVENT or not arguments[1].startswith(root):
            return
        name, *rest = arguments
        fault.meet()
        if log:
            # Opened anew: a worker closes every descriptor that is not its own.
            with Path(log).open("ab", buffering=0) as file:
                file.write(encode(name, rest, root))

    sys.addaudithook(watch)
    if "CRASH_NO_FLUSH" in environment:
        os.fsync = os.fdatasync = lambda _descriptor: None
    return fault


FAULT = install(os.environ) if "CRASH_STATE_DIR" in os.environ else None
