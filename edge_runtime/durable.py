"""Every durable step on this machine's disk, and nothing else.

A step is durable when its function returns: file contents are flushed before
a name points at them, and the directory that holds the name is flushed after.
Whoever needs several steps orders them so that a power cut between any two
leaves something whole; this module only makes each one count.

Each system call is announced first as an audit event named `packhorse.durable`
(`sys.audit`), with all that it takes to do it again somewhere else:

    create PATH MODE              make an empty file, or empty the one that is there
    allocate PATH LENGTH          reserve space; the file is at least so long then
    write PATH OFFSET BYTES       truncate PATH LENGTH
    symlink PATH POINTS-TO        rename SOURCE TARGET
    mkdir PATH MODE               unlink PATH, rmdir PATH
    fsync PATH                    fsync_dir PATH

Tests record, fail, stop and replay the steps from there (tests/crash/); without a
hook the announcement costs nothing.

Source: docs/reliability.md, "What may be lost"
"""

import contextlib
import os
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from io import FileIO
from itertools import islice
from pathlib import Path

EVENT = "packhorse.durable"
"""The audit event that announces each step."""

PARTIAL_SUFFIX = ".partial"
"""Ends the name of a file that is still being written beside its target."""

_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755

_PARTS_MAX = 1024
"""Parts that Linux writes in one call: IOV_MAX."""


def write_file(
    path: Path, body: bytes | Iterable[bytes], *, mode: int = _FILE_MODE
) -> None:
    """Write `body` beside `path`, flush it, then give it the name `path`.

    Args:
        path: The file to make or replace; its directory exists.
        body: The whole content, or its chunks in order, which are read once. When it
            raises halfway, what was written is removed and the error goes on.
        mode: Permission bits of the file.
    """
    partial = path.with_name(f".{path.name}{PARTIAL_SUFFIX}")
    # Not the file of an earlier attempt: what its disk failed to flush may look clean.
    _clear_away(partial)
    try:
        _write_flushed(partial, [body] if isinstance(body, bytes) else body, mode)
        rename(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            _clear_away(partial)
        raise


def write_tree(path: Path, bodies: Mapping[str, bytes]) -> None:
    """Make the directory `path` with these files, by their relative names.

    Nothing may point at it yet: it costs one flush a file, and one a directory.
    """
    make_dir(path)
    for name, body in bodies.items():
        make_dir((path / name).parent)
        _write_flushed(path / name, [body], _FILE_MODE)
    settle(path)


def rename(source: Path, target: Path) -> None:
    """Move `source` onto `target` in one step, replacing what is in its place."""
    if _is_folder(target) and not _is_folder(source):
        remove_tree(target)
    sys.audit(EVENT, "rename", str(source), str(target))
    source.replace(target)
    fsync_dir(target.parent)
    if source.parent != target.parent:
        fsync_dir(source.parent)


def symlink_swap(link: Path, points_to: str) -> None:
    """Make `link` point at `points_to` in one step, whatever it pointed at."""
    partial = link.with_name(f".{link.name}{PARTIAL_SUFFIX}")
    _clear_away(partial)
    sys.audit(EVENT, "symlink", str(partial), points_to)
    partial.symlink_to(points_to)
    rename(partial, link)


def unlink(path: Path) -> None:
    """Remove `path`, a file or what is in its place; none is no error."""
    _clear_away(path)
    if path.parent.is_dir():
        # Also where it was gone: whoever removed it may not have lived to flush.
        fsync_dir(path.parent)


def remove_tree(path: Path) -> None:
    """Remove the directory `path` and all in it; links are not followed."""
    if not _is_folder(path):
        unlink(path)
        return
    for directory, folders, files in os.walk(path, topdown=False):
        for name in [*files, *folders]:
            _remove(Path(directory, name))
    _remove(path)
    fsync_dir(path.parent)


def make_dir(path: Path, *, mode: int = _DIRECTORY_MODE) -> None:
    """Make the directory `path`, and those above it, where they are missing."""
    if path.is_dir():
        return
    make_dir(path.parent, mode=mode)
    sys.audit(EVENT, "mkdir", str(path), mode)
    path.mkdir(mode=mode, exist_ok=True)
    fsync_dir(path.parent)


def settle(path: Path) -> None:
    """Flush every name under the directory `path`.

    A process killed between a step and its flush leaves names that its successor
    builds on and a power cut could still take. Contents were flushed before.
    """
    for directory, _, _ in os.walk(path):
        with contextlib.suppress(FileNotFoundError):  # removed since it was listed
            fsync_dir(Path(directory))


def fsync_dir(path: Path) -> None:
    """Flush the names in the directory `path` to the disk."""
    sys.audit(EVENT, "fsync_dir", str(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class OpenFile:
    """A file that is written bit by bit: `flush` makes durable what was written.

    What was written outlives this process at once, and a power cut only after the
    next `flush`: whoever reads the file must know how far it can be believed.
    """

    def __init__(self, path: Path, *, mode: int = _FILE_MODE, flags: int = 0) -> None:
        """Open the file at `path`, and make it where there is none."""
        if not path.exists():
            sys.audit(EVENT, "create", str(path), mode)
        flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self.path = path
        self.descriptor = os.open(path, flags, mode)

    @property
    def length_bytes(self) -> int:
        """Return how long the file is."""
        return os.fstat(self.descriptor).st_size

    def cut(self, length_bytes: int) -> None:
        """Shorten the file to its first `length_bytes`."""
        sys.audit(EVENT, "truncate", str(self.path), length_bytes)
        os.ftruncate(self.descriptor, length_bytes)

    def flush(self) -> None:
        """Flush what was written, and the file's length, to the disk.

        Raises:
            OSError: It may not be there, and a second flush would not tell: what
                was written since the last one has to be written again.
        """
        sys.audit(EVENT, "fsync", str(self.path))
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Close it; nothing more is flushed than was."""
        os.close(self.descriptor)


class GrowingFile(OpenFile):
    """A file that is only ever written at its end, which may be torn."""

    def __init__(self, path: Path, *, mode: int = _FILE_MODE) -> None:
        """Open the file at `path`, and make it where there is none."""
        super().__init__(path, mode=mode, flags=os.O_APPEND)

    def append(self, *parts: bytes | memoryview) -> None:
        """Write `parts` at the end; where that fails, leave the file as it was.

        Raises:
            OSError: Not all of it could be written, and nothing of it is there,
                unless the disk refuses even to shorten a file.
        """
        before_bytes = offset = self.length_bytes
        for part in parts:
            sys.audit(EVENT, "write", str(self.path), offset, part)
            offset += len(part)
        left = deque(memoryview(part) for part in parts if part)
        try:
            while left:
                written = os.writev(self.descriptor, list(islice(left, _PARTS_MAX)))
                _pass_over(left, written)
        except OSError:
            with contextlib.suppress(OSError):
                self.cut(before_bytes)
            raise


class ReservedFile(OpenFile):
    """A file whose whole space is taken before its first byte is written."""

    def __init__(
        self, path: Path, length_bytes: int, *, mode: int = _FILE_MODE
    ) -> None:
        """Open or make the file at `path`, and reserve `length_bytes` for it.

        Raises:
            OSError: The disk has no room; the file keeps what space it got.
        """
        super().__init__(path, mode=mode)
        try:
            if self.length_bytes > length_bytes:
                self.cut(length_bytes)
            if length_bytes:
                sys.audit(EVENT, "allocate", str(path), length_bytes)
                os.posix_fallocate(self.descriptor, 0, length_bytes)
        except BaseException:
            self.close()
            raise

    def write(self, offset: int, body: bytes) -> None:
        """Write `body` into the reserved space, from byte `offset` on."""
        sys.audit(EVENT, "write", str(self.path), offset, body)
        left = memoryview(body)
        while left:
            written = os.pwrite(self.descriptor, left, offset)
            left, offset = left[written:], offset + written


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _pass_over(parts: deque[memoryview], length_bytes: int) -> None:
    """Drop the first bytes of `parts`: they are written."""
    while parts and length_bytes >= len(parts[0]):
        length_bytes -= len(parts.popleft())
    if length_bytes:
        parts[0] = parts[0][length_bytes:]


def _clear_away(path: Path) -> None:
    """Remove the name `path`, if it is there, without making that durable."""
    if _is_folder(path):
        remove_tree(path)
    elif os.path.lexists(path):  # a link that points nowhere is there too
        sys.audit(EVENT, "unlink", str(path))
        path.unlink(missing_ok=True)


def _write_flushed(path: Path, chunks: Iterable[bytes], mode: int) -> None:
    """Write `chunks` to a new file at `path` and flush it to the disk."""
    sys.audit(EVENT, "create", str(path), mode)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, mode), "wb", buffering=0) as file:
        _write_all(file, path, chunks)
        sys.audit(EVENT, "fsync", str(path))
        os.fsync(file.fileno())


def _write_all(file: FileIO, path: Path, chunks: Iterable[bytes]) -> None:
    offset = 0
    for chunk in chunks:
        sys.audit(EVENT, "write", str(path), offset, chunk)
        offset += len(chunk)
        left = memoryview(chunk)
        while left:
            left = left[file.write(left) :]


def _remove(path: Path) -> None:
    """Remove one file, link or empty directory inside a tree that goes away."""
    if _is_folder(path):
        sys.audit(EVENT, "rmdir", str(path))
        path.rmdir()
    else:
        sys.audit(EVENT, "unlink", str(path))
        path.unlink()
