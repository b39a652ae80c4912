"""The folder of segments that all workers of a gateway write side by side.

    <state>/predictions/lock                     held while room is made
    <state>/predictions/<number, 16 digits>.plog

A segment is locked (`flock`) by the process that writes it, for as long as it
does, and counts with the length that it may reach; every other one counts with
the length that it has. Whoever wants to write makes sure, under the folder's
lock, that the sum with its own segment stays under the cap, and removes the
oldest for that. So the cap holds for all together, at every moment. A number is
never given twice, and later segments have greater ones whatever the clock says.

Source: docs/protocol.md, 12.4
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import durable
from edge_runtime.durable import GrowingFile
from edge_runtime.prediction_log.folder import (
    LOCK_FILE,
    segment_path,
    segment_paths,
)
from edge_runtime.prediction_log.frames import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    Header,
    new_header,
    read_header,
)
from edge_runtime.prediction_log.segment import (
    FREE_MIN_BYTES,
    Segment,
    check_free,
    cut_torn_end,
)

SEGMENTS_MIN = 16
"""Segments that fit under the cap: so many processes can write at once, and what
is deleted at a time is a small part of what is kept."""

SEGMENT_MAX_BYTES = 8 * 1024**2

_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700


@dataclass(frozen=True, slots=True)
class _Found:
    """A segment in the folder, while the folder is locked.

    Attributes:
        file: Open and locked; None where another process writes it.
        header: None where it is torn or of another format.
    """

    number: int
    file: GrowingFile | None
    header: Header | None
    path: Path
    size_bytes: int

    def counted_bytes(self, standard_bytes: int) -> int:
        """Return what it counts with: its length, or what it may reach."""
        if self.file is not None:
            return self.size_bytes
        limit_bytes = self.header.limit_bytes if self.header else standard_bytes
        return max(self.size_bytes, limit_bytes)


class Segments:
    """The folder, as one of its writers sees it."""

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        *,
        free_min_bytes: int = FREE_MIN_BYTES,
    ) -> None:
        """Keep all segments together under `max_bytes`."""
        self._directory = directory
        self._max_bytes = max_bytes
        self._free_min_bytes = free_min_bytes
        self._limit_bytes = min(SEGMENT_MAX_BYTES, max_bytes // SEGMENTS_MIN)
        self._left: tuple[Path, int] | None = None

    @property
    def payload_max_bytes(self) -> int:
        """Return the longest record that a new segment can hold."""
        return max(0, self._limit_bytes - HEADER_BYTES - FRAME_HEAD_BYTES)

    def open(self, needed_bytes: int) -> Segment:
        """Go on with a segment that nobody writes, or begin a new one.

        Args:
            needed_bytes: How long the record is that the segment is opened for.

        Raises:
            OSError: There is no room, or the disk does not let us.
        """
        durable.make_dir(self._directory, mode=_DIRECTORY_MODE)
        with self._locked():
            found = self._look()
            taken: _Found | None = None
            try:
                chosen = self._choose(found, needed_bytes + FRAME_HEAD_BYTES)
                self._make_room(found, chosen)
                segment = self._go_on(chosen) if chosen else self._begin(found)
                taken = chosen
                return segment
            finally:
                _let_go(found, but=taken)

    def leave(self, segment: Segment) -> None:
        """Close a segment that is whole, and remember that it is."""
        self._left = segment.place
        segment.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._directory / LOCK_FILE, flags, _FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _look(self) -> list[_Found]:
        """Find every segment, the oldest first, and lock those that nobody writes."""
        found: list[_Found] = []
        try:
            for number, path in segment_paths(self._directory):
                found.append(_find(number, path))
        except BaseException:
            _let_go(found)
            raise
        return found

    def _choose(self, found: list[_Found], needed_bytes: int) -> _Found | None:
        """Choose the newest segment at rest that is at most half full."""
        for segment in reversed(found):
            if segment.file is None or segment.header is None:
                continue
            limit_bytes = segment.header.limit_bytes
            is_short = segment.size_bytes <= limit_bytes // 2
            has_room = segment.size_bytes + needed_bytes <= limit_bytes
            if is_short and has_room and limit_bytes <= self._limit_bytes:
                return segment
        return None

    def _make_room(self, found: list[_Found], chosen: _Found | None) -> None:
        """Remove the oldest at rest until ours fits under the cap with the others.

        Raises:
            OSError: Other processes write too many.
        """
        others = [segment for segment in found if segment is not chosen]
        used = sum(segment.counted_bytes(self._limit_bytes) for segment in others)
        room = self._max_bytes - self._limit_bytes
        for segment in others:
            if used <= room:
                break
            if segment.file is not None:
                durable.unlink(segment.path)
                used -= segment.size_bytes
        if used > room or not self.payload_max_bytes:
            raise OSError(
                errno.EDQUOT, f"{self._max_bytes} bytes are too few for all writers"
            )

    def _begin(self, found: list[_Found]) -> Segment:
        """Make a new segment and lock it."""
        last = found[-1].number if found else 0
        number = max(last + 1, time.time_ns() // 1_000_000)
        path = segment_path(self._directory, number)
        file = GrowingFile(path, mode=_FILE_MODE)
        try:
            header = new_header(self._limit_bytes)
            fcntl.flock(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            check_free(file, self._free_min_bytes)
            file.append(header.encode())
            file.flush()
            durable.fsync_dir(self._directory)
        except BaseException:
            file.close()
            with suppress(OSError):
                durable.unlink(path)
            raise
        return Segment(file, header, self._free_min_bytes)

    def _go_on(self, chosen: _Found) -> Segment:
        """Take a segment over, without the torn end that its writer may have left."""
        if chosen.file is None or chosen.header is None:
            raise AssertionError("a segment is chosen only when it is ours to write")
        check_free(chosen.file, self._free_min_bytes)
        if (chosen.path, chosen.size_bytes) != self._left:
            cut_torn_end(chosen.file, chosen.header)
        return Segment(chosen.file, chosen.header, self._free_min_bytes)


def _find(number: int, path: Path) -> _Found:
    """Look at one segment, and lock it where nobody else has."""
    file = GrowingFile(path, mode=_FILE_MODE)
    try:
        with path.open("rb") as contents:
            header = read_header(contents)
        size_bytes = os.fstat(file.descriptor).st_size
    except BaseException:
        file.close()
        raise
    try:
        fcntl.flock(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return _Found(number, None, header, path, size_bytes)
    return _Found(number, file, header, path, size_bytes)


def _let_go(found: list[_Found], *, but: _Found | None = None) -> None:
    for segment in found:
        if segment.file is not None and segment is not but:
            segment.file.close()
