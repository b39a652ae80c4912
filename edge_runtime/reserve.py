"""Room on the disk that is kept for the day on which there is none left.

    <state>/reserve         holds nothing; its space is really taken

A withdrawal is to be obeyed on a full disk too, and obeying takes room: metadata,
memory, reports and handover are written anew before the old ones go. So the agent
keeps some while there is enough, and whoever meets a full disk at such a step, agent
or supervisor, gives it back and does the step again. What may wait for room, as a
download, never asks for it.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from edge_runtime import durable
from edge_runtime.durable import PARTIAL_SUFFIX, ReservedFile
from edge_runtime.log import log

RESERVE_BYTES = 1024 * 1024
"""A withdrawal takes some 50 kB: the metadata twice, memory, handover, reports."""

LEAST_BYTES = 64 * 1024
"""Less is not worth a file."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_Result = TypeVar("_Result")


def is_full(error: OSError) -> bool:
    """Say whether the disk had no room for what failed."""
    return error.errno in _FULL


class Reserve:
    """The room that one state directory keeps."""

    def __init__(self, state_dir: Path) -> None:
        """Look after the reserve of `state_dir`."""
        self.path = state_dir / "reserve"
        self._partial = self.path.with_name(f".{self.path.name}{PARTIAL_SUFFIX}")

    def keep(self) -> None:
        """Take the room, or more of it, while as much stays free for others.

        So what was given back is not all taken by whoever filled the disk: after
        each time, half of what is left is kept again.
        """
        with suppress(OSError):  # a disk that refuses has nothing to keep
            taken_bytes = _taken_bytes(self.path)
            half_bytes = (self._free_bytes() + taken_bytes) // 2
            wanted_bytes = min(RESERVE_BYTES, half_bytes)
            if wanted_bytes >= max(LEAST_BYTES, 2 * taken_bytes):
                self._take(wanted_bytes)

    def spend_for(self, work: Callable[[], _Result]) -> _Result:
        """Do `work`; where the disk is full, give the room back and do it again.

        Args:
            work: May be done twice, and be broken off anywhere.

        Raises:
            OSError: There is no room all the same.
        """
        try:
            return work()
        except OSError as error:
            if not is_full(error) or not (given_bytes := self._give()):
                raise
            log("reserve_given", bytes=given_bytes, reason=str(error))
        return work()

    def _take(self, length_bytes: int) -> None:
        """Put a reserve of that length in the place of the one before."""
        self._give()
        try:
            file = ReservedFile(self._partial, length_bytes)
            try:
                file.flush()
            finally:
                file.close()
            durable.rename(self._partial, self.path)
        except OSError:
            durable.unlink(self._partial)
            raise

    def _give(self) -> int:
        """Give the room back; return how much there was."""
        given_bytes = 0
        for path in (self.path, self._partial):
            if taken_bytes := _taken_bytes(path):
                with suppress(OSError):
                    durable.unlink(path)
                    given_bytes += taken_bytes
        return given_bytes

    def _free_bytes(self) -> int:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize


def _taken_bytes(path: Path) -> int:
    """Return what a file takes of the disk; 0 where there is none."""
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0
