"""The few durable steps that the registry takes on disk."""

import os
from pathlib import Path


def fsync_directory(path: Path) -> None:
    """Make the entries of a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make a folder and its parents, each one durable."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    fsync_directory(path.parent)


def fsync_file(path: Path) -> None:
    """Make the bytes of a file survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def move_durably(source: Path, destination: Path) -> None:
    """Rename a complete file to its final name; both steps are durable."""
    fsync_file(source)
    make_directory(destination.parent)
    source.replace(destination)
    fsync_directory(destination.parent)
