"""What upstream answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer, whatever its status.

    Attributes:
        headers: Names in lower case, values in Latin-1; of repeated names the last.
        body: As it came, without chunks; no content coding is undone.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
