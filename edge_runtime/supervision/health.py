"""Run the command with which a gateway's owner says whether a release does its work.

The command is the owner's own, a line for `/bin/sh`. It runs in a session of its
own, so that what it starts ends with it, and says no by an exit code other than 0,
or by taking too long. The end of what it wrote is the reason that people read.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping

from edge_runtime.child import Child
from edge_runtime.settings.serve_settings import HealthSettings
from edge_runtime.wording import one_line

WORDS_MAX = 200
"""Characters of what the command wrote last."""

_READ_BYTES = 65_536
_SHELL = "/bin/sh"


async def run_health_command(
    settings: HealthSettings, environ: Mapping[str, str]
) -> str:
    """Run the command once; return why the release is not well, "" if it is.

    Args:
        settings: The command, and how long it may take.
        environ: The command's environment beside our own.
    """
    words = _LastWords()
    try:
        child = _spawn(settings.command, {**os.environ, **environ}, words.write_end)
    except OSError as error:
        words.close()
        return f"the health command could not be started: {error.strerror}"
    words.listen()
    try:
        async with asyncio.timeout(settings.limit_s):
            code = await child.wait()
        return words.after(f"the health command ended with {code}") if code else ""
    except TimeoutError:
        return words.after(f"the health command took over {settings.limit_s:g} s")
    finally:
        _end_session(child)
        words.close()


def _spawn(command: str, environ: Mapping[str, str], output: int) -> Child:
    """Start the command; it has no input, and leads a session of its own."""
    pid = os.posix_spawn(
        _SHELL,
        ["sh", "-c", command],
        environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE,),
    )
    return Child(pid)


def _end_session(child: Child) -> None:
    """End what the command has left running; an id in use is not given again."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


class _LastWords:
    """The end of what the command writes; the rest is read and forgotten."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_end, False)
        self._loop = asyncio.get_running_loop()
        self._kept = b""

    def listen(self) -> None:
        """Read from now on; only the command can write any more."""
        os.close(self.write_end)
        self.write_end = -1
        self._loop.add_reader(self._read_end, self._read)

    def close(self) -> None:
        """Read no more."""
        self._loop.remove_reader(self._read_end)
        for end in (self._read_end, self.write_end):
            if end >= 0:
                os.close(end)

    def after(self, sentence: str) -> str:
        """Return a sentence with the last words behind it."""
        self._read()
        words = one_line(self._kept.decode(errors="replace"))
        return f"{sentence}: {words[-WORDS_MAX:]}" if words else sentence

    def _read(self) -> None:
        try:
            chunk = os.read(self._read_end, _READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self._loop.remove_reader(self._read_end)
        # A character may have four bytes.
        self._kept = (self._kept + chunk)[-4 * WORDS_MAX :]
