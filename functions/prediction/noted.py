"""What the inference log keeps of a request until it is read."""

from dataclasses import dataclass

from functions.adapters.upstream.client import Answer


@dataclass(frozen=True, slots=True)
class Noted:
    """One sampled request, and what became of it.

    Attributes:
        at_s: When it came, by the wall clock.
        version: Of the release that answered; empty where nobody knows.
        traceparent: As it came; empty for none.
        body: As it went upstream.
        content_type: As it went upstream.
        answer: None where there was none.
        outcome: `ok`, or what became of it instead.
        ratio: Share of the requests that were kept: it stands for 1 / `ratio`.
    """

    at_s: float
    model: str
    version: str
    request_id: str
    traceparent: str
    body: bytes
    content_type: str
    answer: Answer | None
    outcome: str
    upstream_s: float
    ratio: float

    @property
    def size_bytes(self) -> int:
        """Return how long its bodies are together."""
        return len(self.body) + (len(self.answer.body) if self.answer else 0)
