"""Run a module of ours where a hostile model can do no harm: a child, under limits.

A model's file may crash whoever reads it, take all memory or never be done. The
agent tries a release so before it may serve, and a server a model that a request
asks it to load. What the child does and answers is its own module's business.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import edge_runtime

BASE_MEMORY_BYTES = 1024**3
"""Address space, not use: Python with ONNX Runtime 1.32 maps 0.2 GB; the rest is
for what a model computes and for the live requests."""

MEMORY_PER_BYTE = 8
"""A model is read, parsed, optimised, packed for the processor, and run."""

_GRACE_S = 5
"""Between the two limits on processor time; nothing here outlives the first."""
_NICENESS = 10
_NICENESS_MAX = 19
_PR_SET_PDEATHSIG = 1


def run_module(
    name: str, arguments: Sequence[str], out: int, *, wall_s: float
) -> int | None:
    """Run a module in a child, with its standard output in `out`.

    Returns:
        The exit code, negative for a signal; None when time ran out.
    """
    with started_module(name, arguments, out) as process:
        try:
            return process.wait(wall_s)
        except subprocess.TimeoutExpired:
            return None


@contextmanager
def started_module(
    name: str, arguments: Sequence[str], out: int, *, line: int = subprocess.DEVNULL
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a module in a child until the block ends, if it does not end before.

    Args:
        name: The module.
        arguments: Its words.
        out: Descriptor that becomes its standard output.
        line: Descriptor that becomes its standard input.
    """
    process = subprocess.Popen(  # noqa: S603 - our own module, no shell
        [sys.executable, "-m", name, *arguments],
        stdin=line,
        stdout=out,
        stderr=subprocess.DEVNULL,
        cwd=Path(edge_runtime.__file__).parent.parent,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def confine(*, memory_bytes: int, cpu_s: int, output_bytes: int) -> None:
    """Give up what is not needed, and end with the parent; called in the child."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICENESS)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        memory_bytes = min(memory_bytes, most)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # SIGXCPU first: a SIGKILL then comes from outside, and is no word on the model.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + _GRACE_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (output_bytes, output_bytes))


def step_back() -> None:
    """Let everything else on the machine go first, its processor and its disk.

    Linux derives the priority on the disk from the one on the processor.
    """
    os.nice(_NICENESS_MAX)  # it ends at 19, wherever it begins
