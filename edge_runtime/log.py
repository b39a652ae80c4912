"""One JSON object per line on standard output: what happened, never sentences."""

import contextlib
import sys
from datetime import UTC, datetime

import orjson


def log(event: str, **fields: object) -> None:
    """Write one line.

    Args:
        event: The stage and what became of it, `switch_done`.
        fields: Ids, durations, counts; no payloads, no keys.
    """
    line = orjson.dumps(
        {"at": datetime.now(UTC), "event": event, **fields}, default=str
    )
    with contextlib.suppress(OSError):  # who read our output may be gone
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
