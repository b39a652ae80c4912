"""What is sent, and what the upstream answers to it.

Only the standard library is imported: the upstream and the plot read it too.
"""

import json
import random

ENDPOINT = "projects/packhorse-demo/locations/europe-west4/endpoints/2"
"""Vertex AI's name of what is asked."""

MODEL = "bench"
"""Our name of it."""

DEPLOYED_ID = "7001"
RELEASE = f"{MODEL}@1"
SMALL, LARGE = 784, 34_500
"""Floats in a body: 16 kB, an image of 28 x 28; 700 kB."""

PREDICTIONS = [[0.0123, 0.0456, 0.8731, 0.0007, 0.0011, 0.0101, 0.0202, 0.0303, 0.0066]]
"""What every request is answered with."""

MARK = "0.8731"
"""Stands in every right answer, however the numbers around it are written."""


def request_body(floats: int, seed: int = 0) -> bytes:
    """Return a prediction request in Vertex AI's JSON; another seed, other floats."""
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    return json.dumps({"instances": [[draw.random() for _ in range(floats)]]}).encode()


def is_right(answer: bytes) -> bool:
    """Tell whether an answer holds the predictions."""
    try:
        document = json.loads(answer)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("predictions") == PREDICTIONS
