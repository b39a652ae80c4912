"""Record, or spoil, the durable steps of any Python process that sees this folder.

Python imports `sitecustomize` before anything else. With this folder in PYTHONPATH
the real `edge-runtime serve`, its workers and the agent are all watched, and not a
line of them is changed:

    CRASH_STATE_DIR   only steps below it count
    CRASH_LOG         a file to which each step is appended before it is taken
    CRASH_ROLE        who takes them; it stands beside each step
    CRASH_FAULT       a JSON object: `do` is "kill", or the name of an errno; `at` the
                      number of this process's step at which it comes, or the kind of
                      one; `lasts`, how many steps it lasts; `once`, a file that is
                      made when it comes: of all processes, one meets it, once
    CRASH_NO_FLUSH    nothing is flushed: the process is as bad as most are

A kind of step is what is done to which path, its numbers and hashes apart, and what
the same process did just before.
"""

import base64
import errno
import json
import os
import pickle
import re
import signal
import sys
from pathlib import Path

EVENT = "packhorse.durable"
PATHS = {"rename": 2}
"""How many of a step's arguments are paths; one, for all others."""

LASTS = {"kill": 1, "EIO": 1, "ENOSPC": 4}
"""A disk that is full stays full for a while."""


def named(name, path):
    """Name a step without the numbers in it."""
    return f"{name} {re.sub('[0-9a-f]{64}|[0-9]+', '#', path)}"


def kind_of(step, before):
    """Name the kind of a step; `before` names the one before it."""
    return f"{step} after {before}"


class Fault:
    """What happens at one step of this process."""

    def __init__(self, text):
        self.arm(text)

    def arm(self, text):
        fault = json.loads(text or "{}")
        self.do = fault.get("do", "")
        self.at = fault.get("at", 0)
        self.lasts = fault.get("lasts") or LASTS.get(self.do, 1)
        self.once = fault.get("once")
        self.hits = 0
        self._pid = os.getpid()
        self._forget()

    def _forget(self):
        self.before = "the start"
        self.kinds = []

    def meet(self, name, path):
        """Note a step; return its kind, unless the fault comes with it."""
        if self._pid != os.getpid():  # a fork begins anew
            self._pid = os.getpid()
            self._forget()
        step = named(name, path)
        kind = kind_of(step, self.before)
        self.before = step
        self.kinds.append(kind)
        if self.do and (0 < self.hits < self.lasts or self._begins(kind)):
            self.hits += 1
            self._strike()
        return kind

    def _begins(self, kind):
        if self.hits or self.at not in {kind, len(self.kinds)}:
            return False
        return not self.once or self._is_first()

    def _is_first(self):
        try:
            with Path(self.once).open("xb"):
                return True
        except FileExistsError:
            return False

    def _strike(self):
        if self.do == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, self.do)
        raise OSError(number, os.strerror(number))


def relative(paths, root):
    return [os.path.relpath(path, root) for path in paths]


def encode(role, kind, name, arguments, root):
    """Write one step as one line."""
    count = PATHS.get(name, 1)
    rest = [bytes(a) if isinstance(a, memoryview) else a for a in arguments[count:]]
    step = (name, *relative(arguments[:count], root), *rest)
    return base64.b64encode(pickle.dumps((role, kind, step))) + b"\n"


def install(environment):
    root = environment["CRASH_STATE_DIR"]
    log = environment.get("CRASH_LOG")
    role = environment.get("CRASH_ROLE", "")
    fault = Fault(environment.get("CRASH_FAULT", ""))

    def watch(event, arguments):
        if event != EVENT or not arguments[1].startswith(root):
            return
        name, *rest = arguments
        kind = fault.meet(name, relative(rest[:1], root)[0])
        if log:
            # Opened anew: a worker closes every descriptor that is not its own.
            with Path(log).open("ab", buffering=0) as file:
                file.write(encode(role, kind, name, rest, root))

    sys.addaudithook(watch)
    if "CRASH_NO_FLUSH" in environment:
        os.fsync = os.fdatasync = lambda _descriptor: None
    return fault


FAULT = install(os.environ) if "CRASH_STATE_DIR" in os.environ else None
