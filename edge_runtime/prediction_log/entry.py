"""One prediction as the server hands it over, before anything is computed of it."""

from dataclasses import dataclass

from edge_runtime.held_bytes import held_bytes
from packhorse.inference.signature import Arrays


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one request once it is answered.

    Attributes:
        at_s: When it came, by the wall clock.
        traceparent: W3C trace context; "" for none.
        outcome: `ok`, or what became of it instead.
        queue_s: How long it waited for its turn.
        compute_s: How long the model took for the batch that it ran in.
        rows: How many samples it brought.
        inputs: By name, kept by reference and never written to.
        outputs: Likewise; none where there was no answer.
        ratio: Share of the requests that were kept: it stands for 1 / `ratio`.
    """

    at_s: float
    model: str
    version: str
    request_id: str
    traceparent: str
    outcome: str
    queue_s: float
    compute_s: float
    rows: int
    inputs: Arrays
    outputs: Arrays
    ratio: float = 1.0

    def held_bytes(self) -> int:
        """Return how much memory lives as long as this entry, nearly."""
        held = 0
        for array in self.inputs.values():
            held += held_bytes(array)
        for array in self.outputs.values():
            held += held_bytes(array)
        return held
