"""Keep threads from hoarding memory that others could use.

glibc gives threads heaps of their own, eight for each processor, and each keeps
what its longest requests once took. Python's threads allocate in turn anyway, so
two heaps do: under random traffic on thirty models a worker kept half a gigabyte
in sixteen.

Source: glibc, mallopt(3), M_ARENA_MAX
"""

import contextlib
import ctypes

ARENAS_MAX = 2

_M_ARENA_MAX = -8


def limit_arenas() -> None:
    """Let this process have few heaps; before it starts threads."""
    with contextlib.suppress(AttributeError):  # another library than glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS_MAX)
