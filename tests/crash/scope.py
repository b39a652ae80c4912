"""How much of the matrix is run, and what it came to."""

import json
import os
from pathlib import Path

IS_WHOLE = os.environ.get("CRASH_WHOLE") == "1"
"""`make crash` runs all of it, `make test` a sample."""

RESULTS = os.environ.get("CRASH_RESULTS")
"""A file that gets one JSON object a line for each part that was run."""


def tally(what, **counts):
    """Write down what was run."""
    if RESULTS:
        with Path(RESULTS).open("a") as file:
            file.write(json.dumps({"what": what, **counts}) + "\n")


def sample(points, count):
    """Return all points in a whole run, else `count` spread over all."""
    points = list(points)
    return points[:: 1 if IS_WHOLE else -(-len(points) // count)]
