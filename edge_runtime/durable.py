"""Every durable step on this machine's disk, and nothing else.

A step is durable when its function returns: file contents are flushed before
a name points at them, and the directory that holds the name is flushed after.
Whoever needs several steps orders them so that a power cut between any two
leaves something whole; this module only makes each one count.

Each system call is announced first as an audit event named `packhorse.durable`
(`sys.audit`): the operation's name, then its paths, and for `append` the bytes,
for `cut` the length.
A test can record, stop or replay the steps from there without patching anything;
without a hook the announcement costs nothing.
"""

import contextlib
import os
import sys
from collections import deque
from collections.abc import Iterable
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

    When `body` raises halfway, what was written is removed and the error goes on.

    Args:
        path: The file to make or replace; its directory exists.
        body: The whole content, or its chunks in order, which are read once.
        mode: Permission bits of the file.
    """
    partial = path.with_name(f".{path.name}{PARTIAL_SUFFIX}")
    try:
        _write_flushed(partial, [body] if isinstance(body, bytes) else body, mode)
        rename(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def rename(source: Path, target: Path) -> None:
    """Move `source` onto `target` in one step, replacing a file that is there."""
    sys.audit(EVENT, "rename", str(source), str(target))
    source.replace(target)
    fsync_dir(target.parent)
    if source.parent != target.parent:
        fsync_dir(source.parent)


def symlink_swap(link: Path, points_to: str) -> None:
    """Make `link` point at `points_to` in one step, whatever it pointed at."""
    partial = link.with_name(f".{link.name}{PARTIAL_SUFFIX}")
    partial.unlink(missing_ok=True)
    sys.audit(EVENT, "symlink", points_to, str(partial))
    partial.symlink_to(points_to)
    rename(partial, link)


def unlink(path: Path) -> None:
    """Remove the file `path`; one that is not there is no error."""
    sys.audit(EVENT, "unlink", str(path))
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        fsync_dir(path.parent)


def remove_tree(path: Path) -> None:
    """Remove the directory `path` and all in it; links are not followed."""
    if not path.is_dir() or path.is_symlink():
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
    sys.audit(EVENT, "mkdir", str(path))
    path.mkdir(mode=mode, exist_ok=True)
    fsync_dir(path.parent)


def fsync_dir(path: Path) -> None:
    """Flush the names in the directory `path` to the disk."""
    sys.audit(EVENT, "fsync_dir", str(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class GrowingFile:
    """A file that is only ever written at its end: `flush` makes that durable.

    What was appended outlives this process at once, and a power cut only after
    the next `flush`: whoever reads the file must recognise an end that is torn.
    """

    def __init__(self, path: Path, *, mode: int = _FILE_MODE) -> None:
        """Open the file at `path`, and make it where there is none."""
        if not path.exists():
            sys.audit(EVENT, "create", str(path))
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self.path = path
        self.descriptor = os.open(path, flags, mode)

    def append(self, *parts: bytes | memoryview) -> None:
        """Write `parts` at the end; where that fails, leave the file as it was.

        Raises:
            OSError: Not all of it could be written, and nothing of it is there,
                unless the disk refuses even to shorten a file.
        """
        for part in parts:
            sys.audit(EVENT, "append", str(self.path), part)
        before_bytes = os.fstat(self.descriptor).st_size
        left = deque(memoryview(part) for part in parts if part)
        try:
            while left:
                written = os.writev(self.descriptor, list(islice(left, _PARTS_MAX)))
                _pass_over(left, written)
        except OSError:
            with contextlib.suppress(OSError):
                self.cut(before_bytes)
            raise

    def cut(self, length_bytes: int) -> None:
        """Shorten the file to its first `length_bytes`."""
        sys.audit(EVENT, "cut", str(self.path), length_bytes)
        os.ftruncate(self.descriptor, length_bytes)

    def flush(self) -> None:
        """Flush what was appended, and the file's length, to the disk."""
        sys.audit(EVENT, "fsync", str(self.path))
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Close it; nothing more is flushed than was."""
        os.close(self.descriptor)


def _pass_over(parts: deque[memoryview], length_bytes: int) -> None:
    """Drop the first bytes of `parts`: they are written."""
    while parts and length_bytes >= len(parts[0]):
        length_bytes -= len(parts.popleft())
    if length_bytes:
        parts[0] = parts[0][length_bytes:]


def _write_flushed(path: Path, chunks: Iterable[bytes], mode: int) -> None:
    """Write `chunks` to a new file at `path` and flush it to the disk."""
    sys.audit(EVENT, "create", str(path))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        for chunk in chunks:
            sys.audit(EVENT, "append", str(path), chunk)
            file.write(chunk)
        file.flush()
        sys.audit(EVENT, "fsync", str(path))
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    """Remove one file, link or empty directory inside a tree that goes away."""
    if path.is_dir() and not path.is_symlink():
        sys.audit(EVENT, "rmdir", str(path))
        path.rmdir()
    else:
        sys.audit(EVENT, "unlink", str(path))
        path.unlink()
