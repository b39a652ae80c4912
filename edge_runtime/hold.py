"""The hold file: while it lies there, this gateway begins nothing new.

    <state>/hold        why, in words; may be empty

A person puts it there and takes it away, with `edge-runtime hold` or by hand
(`touch hold`), with or without a network. The agent obeys it: agent/loop.py.
"""

from pathlib import Path

from edge_runtime import durable
from edge_runtime.wording import one_line

REASON_MAX = 300
"""Characters of a reason that are shown; the file may have been written by hand."""

_READ_MAX_BYTES = 4 * REASON_MAX


def hold_path(state_dir: Path) -> Path:
    """Return where the hold file of `state_dir` lies."""
    return state_dir / "hold"


def read_hold(state_dir: Path) -> str | None:
    """Return why this gateway is held, perhaps ""; None where it is not.

    A file that is there and cannot be read holds too.
    """
    path = hold_path(state_dir)
    try:
        with path.open("rb") as file:
            text = file.read(_READ_MAX_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"the hold file cannot be read: {error.strerror}"
    return one_line(text)[:REASON_MAX]


def place_hold(state_dir: Path, reason: str) -> None:
    """Hold this gateway, durably."""
    durable.write_file(hold_path(state_dir), f"{reason}\n".encode())


def lift_hold(state_dir: Path) -> bool:
    """Let this gateway go on; say whether it was held."""
    was_held = read_hold(state_dir) is not None
    durable.unlink(hold_path(state_dir))
    return was_held
