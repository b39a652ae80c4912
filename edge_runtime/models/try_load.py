"""Load a model in a process of its own first, when a request asks for it.

A model's file may crash whoever reads it, take all memory or never be done. This
process answers others meanwhile; so a child does it before, under limits, runs
the model once, and ends. Only what came through that is loaded here.

The child is `python -m edge_runtime.models.try_load NAME VERSION PATH MEMORY_BYTES`. It
writes why the model cannot be served, or nothing, and ends when its parent ends.
"""

import signal
import sys
import tempfile
from pathlib import Path

from edge_runtime.confined import (
    BASE_MEMORY_BYTES,
    MEMORY_PER_BYTE,
    confine,
    run_module,
)
from edge_runtime.errors import ModelError
from edge_runtime.models.repository import StoredModel
from edge_runtime.wording import signal_name

WALL_S = 60.0
CPU_S = 30
"""A model that takes longer to load is put in place before the start."""

REASON_MAX_BYTES = 4000


def try_load(stored: StoredModel, *, wall_s: float = WALL_S) -> None:
    """See whether a model can be loaded and run, at no risk.

    Raises:
        ModelError: It cannot; the message says why.
    """
    memory_bytes = BASE_MEMORY_BYTES + MEMORY_PER_BYTE * stored.size_bytes()
    with tempfile.TemporaryFile() as out:
        arguments = [*stored.key, str(stored.path), str(memory_bytes)]
        code = run_module(__name__, arguments, out.fileno(), wall_s=wall_s)
        out.seek(0)
        reason = out.read(REASON_MAX_BYTES).decode("utf-8", "replace")
    if code != 0:
        reason = _describe(code)
    if reason:
        raise ModelError(reason)


def _describe(code: int | None) -> str:
    """Say how a child ended that gave no reason."""
    if code is None or code == -signal.SIGXCPU:
        return f"loading it takes more than {CPU_S} s of processor or {WALL_S:g} s"
    if code < 0:
        return f"loading it crashed a process ({signal_name(-code)})"
    return f"the process that should try to load it ended with the code {code}"


def main(name: str, version: str, path: str, memory_bytes: str) -> None:
    """Load and warm one model under limits; write why that cannot be."""
    confine(memory_bytes=int(memory_bytes), cpu_s=CPU_S, output_bytes=REASON_MAX_BYTES)
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
