"""Processes that are kept alive, as Cloud Run, Google's services and systemd do.

Each process leads a group of its own, so that nothing it started outlives it;
a process that ends by itself, or is killed, is started again.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
LOG_MAX_BYTES = 50 * 1024**2
"""A log that grows past it is begun anew at the next start of its process."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_POLL_S = 0.02
_RESTART_PAUSE_S = 0.1
_STARTS_MAX = 5
"""A process that ends more often while it is waited for will not come up."""


@dataclass(frozen=True, slots=True)
class Command:
    """How to start one process, and how to know that it is there.

    Attributes:
        words: Program and arguments.
        environment: The whole environment of the process.
        is_ready: Tells, without waiting long, whether the process does its work.
        folder: Where it is started.
    """

    words: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]
    folder: Path


@dataclass
class Process:
    """One process that is started again whenever it ends unasked.

    Attributes:
        name: What people call it; its log is called so too.
        starts: How often it was started.
    """

    name: str
    command: Command
    log: Path
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _is_wanted: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def pid(self) -> int | None:
        """Return the process's number while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the process, and from then on whenever it ends; do not wait for it."""
        if self._is_wanted.is_set():
            return
        self._is_wanted.set()
        launched = threading.Event()
        # One thread launches it each time and lives as long as it is wanted: Linux
        # ends a child with the thread that made it, not with the process.
        self._keeper = threading.Thread(target=self._keep, args=[launched], daemon=True)
        self._keeper.start()
        launched.wait(STOP_TIMEOUT_S)

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the process does its work.

        Raises:
            StartError: It did not within `timeout_s`.
        """
        until = time.monotonic() + timeout_s
        starts_max = self.starts + _STARTS_MAX
        while time.monotonic() < until and self.starts <= starts_max:
            if self.pid is not None and self.command.is_ready():
                return
            time.sleep(_POLL_S)
        raise StartError(self.name, self.log)

    def stop(self) -> None:
        """End the process and all that it started: politely, then not."""
        with self._lock:
            self._is_wanted.clear()
            process = self._process
        if process is not None:
            _signal_group(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
            _signal_group(process, signal.SIGKILL)
            process.wait(STOP_TIMEOUT_S)
        if self._keeper is not None:
            self._keeper.join(STOP_TIMEOUT_S)

    def kill_for_good(self) -> None:
        """Kill the process, and do not start it again before `start` is called."""
        with self._lock:
            self._is_wanted.clear()
        self.kill()
        if self._keeper is not None:
            self._keeper.join(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """Kill the process and all that it started, as a power cut would."""
        process = self._process
        if process is not None:
            _signal_group(process, signal.SIGKILL)
            process.wait(STOP_TIMEOUT_S)

    def _launch(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        self.log.parent.mkdir(parents=True, exist_ok=True)
        mode = "ab"
        if self.log.exists() and self.log.stat().st_size > LOG_MAX_BYTES:
            mode = "wb"
        with self.log.open(mode) as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                list(self.command.words),
                env=dict(self.command.environment),
                cwd=self.command.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Nothing here has threads of ours between fork and exec.
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )
        return self._process

    def _keep(self, launched: threading.Event) -> None:
        """Launch the process, and again whenever it ends unasked."""
        while True:
            with self._lock:
                if not self._is_wanted.is_set():
                    return
                process = self._launch()
            launched.set()
            process.wait()
            # What it started goes with it, or it would hold its ports.
            _signal_group(process, signal.SIGKILL)
            time.sleep(_RESTART_PAUSE_S)


class StartError(Exception):
    """A process did not begin to do its work."""

    def __init__(self, name: str, log: Path) -> None:
        """Say which, and show the end of what it printed."""
        tail = ""
        if log.exists():
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        super().__init__(f"{name} did not start; the end of {log}:\n{tail}")


def answers_tcp(port: int) -> Callable[[], bool]:
    """Return a check that something listens on `port`."""

    def check() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return check


def inherited_environment() -> dict[str, str]:
    """Return the few variables that every process needs of ours."""
    names = ("PATH", "HOME", "LANG", "TMPDIR", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    # No proxy may come between processes on the loopback address.
    return {
        **kept,
        "NO_PROXY": "*",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNODEBUGRANGES": "1",
    }


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
