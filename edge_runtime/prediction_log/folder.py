"""What lies where: the names in the folder of segments.

    <state>/predictions/lock                     held while room is made
    <state>/predictions/<number, 16 digits>.plog

Source: docs/protocol.md, 12
"""

from contextlib import suppress
from pathlib import Path

DIRECTORY = "predictions"
"""Name of the folder in the state directory."""

LOCK_FILE = "lock"

_SUFFIX = ".plog"
_DIGITS = 16


def segment_path(directory: Path, number: int) -> Path:
    """Return where the segment of that number lies."""
    return directory / f"{number:0{_DIGITS}}{_SUFFIX}"


def segment_paths(directory: Path) -> list[tuple[int, Path]]:
    """Return each segment's number and path, the oldest first."""
    found = []
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            name = path.stem
            if path.suffix == _SUFFIX and len(name) == _DIGITS and name.isdecimal():
                found.append((int(name), path))
    return sorted(found)
