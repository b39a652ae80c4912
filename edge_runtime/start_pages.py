"""Give back the memory that only a process's start needed.

Most of a library is read once, when it is loaded and registers what it can do: of
ONNX Runtime 18 MiB are in memory after its import, and a small model's runs need
three of them. The kernel keeps a page in a process once it was touched; told that
it is not needed, it takes the page back, and brings it again at the first touch,
from its own cache.

Only what is as the file says is given back. Pages of a file that were written to,
as the linker does before it makes some of them read-only, are lost by this: a
mapping with a single one, in memory or swapped out, is left alone. So is memory
that is locked: the kernel refuses it. Nobody may map files meanwhile.

Source: Linux, madvise(2), MADV_DONTNEED; proc_pid_smaps(5)
"""

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

_DONT_NEED = 4

_MAPPING = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d* +/.*\n((?:[A-Z].*\n)*)",
    re.MULTILINE,
)
"""A file of which this process cannot write a page: its addresses, its sizes."""

_WRITTEN = re.compile(
    r"^(?:Private_Dirty|Shared_Dirty|Anonymous|Swap): +(\d+) kB$", re.MULTILINE
)


def give_back_start_pages() -> None:
    """Let go of the pages of libraries; those still needed come back by themselves."""
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for first, last in _unwritten_files():
        # Where the kernel says no, the pages stay, and that is all.
        libc.madvise(first, last - first, _DONT_NEED)


def _unwritten_files() -> Iterator[tuple[int, int]]:
    """Yield the addresses of mapped files that were never written to."""
    try:
        text = Path("/proc/self/smaps").read_text()
    except OSError:  # not every container has it
        return
    for first, last, sizes in _MAPPING.findall(text):
        if _WRITTEN.findall(sizes) == ["0", "0", "0", "0"]:
            yield int(first, 16), int(last, 16)
