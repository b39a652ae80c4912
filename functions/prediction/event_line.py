"""Write what happens beside requests to the log, as Cloud Logging reads it.

Source: Cloud Logging, "Structured logging", special JSON fields
"""

import json
from collections.abc import Callable, Mapping

from functions.prediction import request_line

_TRACE = "logging.googleapis.com/trace"


def event_line(event: str, fields: Mapping[str, object], *, project: str = "") -> bytes:
    """Return one line.

    Args:
        event: The stage and what became of it.
        fields: What is known; `trace` is the id of a request's trace.
        project: Whose traces are named; empty when nobody said.
    """
    entry: dict[str, object] = {"severity": "INFO", "event": event, **fields}
    if trace := entry.pop("trace", ""):
        entry[_TRACE] = f"projects/{project}/traces/{trace}" if project else trace
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def note_to(
    project: str, write: Callable[[bytes], None] = request_line.write
) -> Callable[[str, Mapping[str, object]], None]:
    """Return what writes events of this project's function."""

    def note(event: str, fields: Mapping[str, object]) -> None:
        write(event_line(event, fields, project=project))

    return note
