"""One segment while it is written, by this process and no other."""

import errno
import os
from pathlib import Path

from edge_runtime.durable import GrowingFile
from edge_runtime.prediction_log.frames import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    Header,
    encode_frame,
    read_frames,
)
from edge_runtime.prediction_log.payload import Parts, length_of

FREE_MIN_BYTES = 32 * 1024**2
"""Disk that is left to others: nothing is written where less is free."""


class Segment:
    """The segment that this process writes; it alone, until it is closed."""

    def __init__(self, file: GrowingFile, header: Header, free_min_bytes: int) -> None:
        """Write to `file`, which is locked and whole up to its end."""
        self._file = file
        self._header = header
        self._free_min_bytes = free_min_bytes
        self._size_bytes = os.fstat(file.descriptor).st_size

    @property
    def place(self) -> tuple[Path, int]:
        """Return which file it is and how long."""
        return self._file.path, self._size_bytes

    @property
    def is_gone(self) -> bool:
        """Say whether somebody removed it: what is added now, nobody will read."""
        return os.fstat(self._file.descriptor).st_nlink == 0

    def has_room(self, payload: Parts) -> bool:
        """Say whether a record still fits."""
        needed = FRAME_HEAD_BYTES + length_of(payload)
        return self._size_bytes + needed <= self._header.limit_bytes

    def append(self, payload: Parts) -> None:
        """Write one record: it outlives this process from now on.

        Raises:
            OSError: The disk is full, broken or read-only.
        """
        frame = encode_frame(self._header.mark, payload)
        self._file.append(*frame)
        self._size_bytes += length_of(frame)

    def check_free(self) -> None:
        """Leave some of the disk to others.

        Raises:
            OSError: Less is free than they are left.
        """
        check_free(self._file, self._free_min_bytes)

    def flush(self) -> None:
        """Bring what was appended to the disk: from now on it outlives a power cut."""
        self._file.flush()

    def close(self) -> None:
        """Leave the segment to whoever wants to go on with it."""
        self._file.close()


def check_free(file: GrowingFile, free_min_bytes: int) -> None:
    """Leave some of the disk to others.

    Raises:
        OSError: Less is free than they are left.
    """
    disk = os.fstatvfs(file.descriptor)
    if disk.f_bavail * disk.f_frsize < free_min_bytes:
        raise OSError(errno.ENOSPC, f"less than {free_min_bytes} bytes are free")


def cut_torn_end(file: GrowingFile, header: Header) -> None:
    """Cut what follows the last whole record."""
    end = HEADER_BYTES
    with file.path.open("rb") as contents:
        for frame in read_frames(contents, header):
            end = frame.end
    if end < os.fstat(file.descriptor).st_size:
        file.cut(end)
