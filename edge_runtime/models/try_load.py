"""Load a model in a process of its own first, when a request asks for it.

A model's file may crash whoever reads it, take all memory or never be done. This
process answers others meanwhile; so a child does it before, under limits, runs
the model once, and ends. Only what came through that is loaded here.

The child is `python -m edge_runtime.models.try_load NAME VERSION PATH MEMORY_BYTES`. It
writes why the model cannot be served, or nothing, and ends when its parent ends.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import edge_runtime
from edge_runtime.errors import ModelError
from edge_runtime.models.repository import StoredModel

WALL_S = 60.0
CPU_S = 30
"""A model that takes longer to load is put in place before the start."""

BASE_MEMORY_BYTES = 1024**3
"""Address space, not use: Python with ONNX Runtime maps 0.2 GB of it."""

MEMORY_PER_BYTE = 8
"""A model is read, parsed, optimised, packed for the processor, and run."""

REASON_MAX_BYTES = 4000
_GRACE_S = 5
_NICENESS = 10
_PR_SET_PDEATHSIG = 1


def try_load(stored: StoredModel, *, wall_s: float = WALL_S) -> None:
    """See whether a model can be loaded and run, at no risk.

    Raises:
        ModelError: It cannot; the message says why.
    """
    memory_bytes = BASE_MEMORY_BYTES + MEMORY_PER_BYTE * stored.size_bytes()
    with tempfile.TemporaryFile() as out:
        arguments = [*stored.key, str(stored.path), str(memory_bytes)]
        code = _run(arguments, out.fileno(), wall_s)
        out.seek(0)
        reason = out.read(REASON_MAX_BYTES).decode("utf-8", "replace")
    if code:
        reason = _describe(code)
    if reason:
        raise ModelError(reason)


def _run(arguments: list[str], out: int, wall_s: float) -> int:
    """Return the exit code, negative for a signal."""
    process = subprocess.Popen(  # noqa: S603 - our own module, no shell
        [sys.executable, "-m", "edge_runtime.models.try_load", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.DEVNULL,
        cwd=Path(edge_runtime.__file__).parents[1],
    )
    try:
        return process.wait(wall_s)
    except subprocess.TimeoutExpired:
        return -signal.SIGXCPU
    finally:
        process.kill()
        process.wait()


def _describe(code: int) -> str:
    """Say how a child ended that gave no reason."""
    if code == -signal.SIGXCPU:
        return f"loading it takes more than {CPU_S} s of processor or {WALL_S:g} s"
    if code < 0:
        return f"loading it crashed a process ({signal.Signals(-code).name})"
    return f"the process that should try to load it ended with the code {code}"


def _limit(memory_bytes: int) -> None:
    """Give up what is not needed, and end with the parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICENESS)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        memory_bytes = min(memory_bytes, most)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + _GRACE_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (REASON_MAX_BYTES, REASON_MAX_BYTES))


def main(name: str, version: str, path: str, memory_bytes: str) -> None:
    """Load and warm one model under limits; write why that cannot be."""
    _limit(int(memory_bytes))
    from edge_runtime.errors import EdgeError  # noqa: PLC0415 - under limits
    from edge_runtime.models.warm import load_stored  # noqa: PLC0415 - under limits

    reason = ""
    try:
        load_stored(StoredModel(name, version, Path(path)))
    except EdgeError as error:
        reason = str(error)
    except MemoryError:
        reason = f"it needs more than {int(memory_bytes) / 1024**2:.0f} MB of memory"
    sys.stdout.buffer.write(reason.encode()[:REASON_MAX_BYTES])


if __name__ == "__main__":
    main(*sys.argv[1:])
