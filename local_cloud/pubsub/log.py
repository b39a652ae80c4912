"""One JSON object per line on standard output."""

import json
import sys


def log(event: str, **fields: object) -> None:
    """Write one line: what happened, and to what."""
    sys.stdout.write(json.dumps({"event": f"pubsub.{event}", **fields}) + "\n")
    sys.stdout.flush()
