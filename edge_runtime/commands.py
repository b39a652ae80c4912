"""Run a command that the site's owner wrote, for a limited time.

It gets the environment that is passed and nothing of ours: no descriptors, no
tokens, no input. The first line of what it prints is its own word on why; the rest
is read, so that it never blocks, and thrown away. When time runs out, or when we
are ended, it ends with every child that it has.
"""

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import SettingsError
from edge_runtime.wording import signal_name

SAID_MAX = 200
"""Characters of a command's first line that are kept."""

TICK_S = 0.5
"""Longest time between two calls of `tick`."""

_READ_BYTES = 4096
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Command:
    """A command and its arguments; no shell reads them.

    Attributes:
        setting: Who named it, for sentences about it.
    """

    setting: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code, negative for a signal; None where it did not end in
            time, or could not be started.
        said: The first line that it printed, cut.
        why: How it ended, for a sentence: `exited with 1`.
    """

    code: int | None
    said: str
    why: str

    def sentence(self, command: Command) -> str:
        """Say in a sentence how `command` ended."""
        said = f": {self.said}" if self.said else ""
        return f"{command.setting} {self.why}{said}"


def parse_command(setting: str, text: str) -> Command | None:
    """Read a setting that names a command; an empty one names none.

    Raises:
        SettingsError: It is no command that could be run here.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise SettingsError(f"{setting} must be a command: {error}") from error
    if not words:
        return None
    if not (Path(words[0]).is_absolute() and os.access(words[0], os.X_OK)):
        raise SettingsError(
            f"{setting} must begin with the absolute path of a program that this user"
            f" may run, not {words[0]!r}"
        )
    return Command(setting, words)


def run_command(
    command: Command,
    environment: Mapping[str, str],
    *,
    limit_s: float,
    tick: Callable[[], None] = lambda: None,
) -> Ended:
    """Run `command`, and end it when its time is over.

    Args:
        command: What to run.
        environment: All of its environment.
        limit_s: How long it may take.
        tick: Called again and again while it runs; what it raises ends the command.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the site's own command, no shell
            command.words,
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Ended(None, "", f"could not be run: {error.strerror}")
    has_ended, said = False, ""
    try:
        said = _listen(process, time.monotonic() + limit_s, tick)
        has_ended = _has_ended(process)
    finally:
        _end(process)
    code = process.returncode if has_ended else None
    if code is None:
        return Ended(None, said, f"did not end within {limit_s:g} s")
    if code < 0:
        return Ended(code, said, f"was ended by {signal_name(-code)}")
    return Ended(code, said, f"exited with {code}")


def _listen(
    process: "subprocess.Popen[bytes]", until_s: float, tick: Callable[[], None]
) -> str:
    """Read what the command prints until it ends or its time is over."""
    front = bytearray()
    assert process.stdout is not None  # noqa: S101 - it is piped
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not _has_ended(process) and time.monotonic() < until_s:
            if not selector.get_map():
                time.sleep(_PAUSE_S)  # its output is closed, so it is about to end
            elif selector.select(min(TICK_S, max(0.0, until_s - time.monotonic()))):
                may_come = _read(process.stdout.fileno(), front)
                if not may_come:
                    selector.unregister(process.stdout)
            tick()
        _read(process.stdout.fileno(), front)
    return _first_line(bytes(front))


def _read(descriptor: int, front: bytearray) -> bool:
    """Keep the beginning of what came; say whether more may come."""
    try:
        chunk = os.read(descriptor, _READ_BYTES)
    except BlockingIOError:
        return True
    if len(front) < _READ_BYTES:
        front += chunk
    return bool(chunk)


def _first_line(front: bytes) -> str:
    lines = front.decode(errors="replace").strip().splitlines()
    text = lines[0] if lines else ""
    return "".join(c for c in text if c.isprintable())[:SAID_MAX]


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Say whether it has, and leave it there: its number stays its own until `_end`."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, options) is not None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the command, and whatever it started that is still there."""
    # Its session is its own, so nobody else is in that group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
