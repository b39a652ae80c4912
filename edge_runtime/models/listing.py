"""Which models a worker serves, in few enough words for the control socket."""

from itertools import accumulate

from edge_runtime.models.models import READY, Models
from packhorse.strict_json import encode_json

LISTING_MAX_BYTES = 12_000
"""A line of the control socket may have 16,384, with what is said beside."""

REASON_MAX = 300

Document = dict[str, object]


def describe_models(models: Models) -> Document:
    """Say which models there are, and whether they are ready.

    Looks into the models directory, which takes its time.

    Returns:
        `ready` and `reason` of all together; `models`, and how many `more` there
        was no room for.
    """
    entries: list[Document] = [
        {
            "release": f"{entry.name}@{entry.version}",
            "ready": entry.state == READY,
            "reason": entry.reason[:REASON_MAX],
        }
        for entry in models.index()
    ]
    reason = models.reason
    listed = _first(entries)
    return {
        "ready": not reason,
        "reason": reason[:REASON_MAX],
        "models": listed,
        "more": len(entries) - len(listed),
    }


def _first(entries: list[Document]) -> list[Document]:
    """Return as many as there is room for, from the first on."""
    lengths = accumulate(len(encode_json(entry)) + 1 for entry in entries)
    count = sum(length <= LISTING_MAX_BYTES for length in lengths)
    return entries[:count]
