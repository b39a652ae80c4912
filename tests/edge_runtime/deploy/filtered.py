"""Run a program under the limits that a unit sets, as systemd would set them.

    python -m tests.edge_runtime.deploy.filtered UNIT PROGRAM ARGUMENT…

The unit's own filter of system calls, its ban on memory that is both written and
executed, no new privileges, no capability: set here, by libseccomp, for what is
executed and all that it starts. Files and networks are not walled in.
"""

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_PR_CAPBSET_DROP = 24
_PR_SET_MDWE = 65
_CAPABILITIES = 41


def filter_of(unit):
    """Return the system calls that the unit allows."""
    allowed: set[str] = set()
    for line in Path(unit).read_text().splitlines():
        if line.startswith("SystemCallFilter="):
            names = line.removeprefix("SystemCallFilter=")
            found = {
                name for word in names.lstrip("~").split() for name in expand(word)
            }
            allowed = allowed - found if names.startswith("~") else allowed | found
    return allowed


def expand(word):
    """Return the system calls of a set, and those of the sets in it."""
    if not word.startswith("@"):
        return {word}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", word],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()[1:]
    words = [line.strip() for line in listed]
    named = [word for word in words if word and not word.startswith("#")]
    return {name for word in named for name in expand(word)}


def confine(allowed):
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(_CAPABILITIES):
        libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    assert libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0) == 0, "needs Linux 6.3"
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(_ERRNO | errno.EPERM))
    for name in allowed:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # others belong to another architecture
            assert seccomp.seccomp_rule_add(context, _ALLOW, number, 0) == 0
    assert seccomp.seccomp_load(context) == 0


if __name__ == "__main__":
    confine(filter_of(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
