"""Take no more than this process can hold, and say so at once.

Memory runs out by bodies: those that came, and the answers that will. How long an
answer is, nobody knows before it is there. So each request counts with the longest
of late, which every shorter one brings down a little, and from its answer on with
what came. A wrong guess is made up for by whoever comes next.

Alone, every request is taken: one that is longer than all there is would otherwise
be told for ever to come back.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from functions.errors import OverloadedError

ANSWER_LEAST_BYTES = 64 * 1024
"""What an answer counts with at least; also buffers, heads, the task itself."""

_SMOOTHED = 256
"""Answers until a long one is half forgotten, about; see `_Held.answered`."""

RETRY_AFTER_S = 1.0
"""What is under way is mostly over by then."""


class Held:
    """What one request counts with, from its admission to its end."""

    __slots__ = ("_admission", "bytes", "length")

    def __init__(self, admission: "Admission", length: int) -> None:
        """Count a request's body, and an answer as long as those of late."""
        self._admission = admission
        self.length = length
        self.bytes = length + admission.answer_bytes

    def answered(self, length: int) -> None:
        """Count the answer's body with its true length."""
        self._admission.learn(length)
        self._admission.held_bytes -= self.bytes
        self.bytes = self.length + length
        self._admission.held_bytes += self.bytes


class Admission:
    """What is under way in this process.

    Attributes:
        requests: How many are admitted.
        held_bytes: What they count with, in all.
        answer_bytes: What the next answer is expected to be.
    """

    def __init__(self, *, requests_max: int, bytes_max: int) -> None:
        """Begin with nothing under way.

        Args:
            requests_max: At once.
            bytes_max: Of the bodies and answers of all of them.
        """
        self._requests_max = requests_max
        self._bytes_max = bytes_max
        self.requests = 0
        self.held_bytes = 0
        self.answer_bytes = ANSWER_LEAST_BYTES

    @contextmanager
    def admitted(self, length: int) -> Iterator[Held]:
        """Count a request with a body of `length` bytes until its answer is sent.

        Raises:
            OverloadedError: There is no room for it now.
        """
        held = Held(self, length)
        self._check(held.bytes)
        self.requests += 1
        self.held_bytes += held.bytes
        try:
            yield held
        finally:
            self.requests -= 1
            self.held_bytes -= held.bytes

    def learn(self, length: int) -> None:
        """Expect the next answer to be as long as the longest of late."""
        known = max(self.answer_bytes, length)
        known -= (known - length) // _SMOOTHED
        self.answer_bytes = max(ANSWER_LEAST_BYTES, known)

    def _check(self, wanted: int) -> None:
        if not self.requests:
            return
        is_many = self.requests >= self._requests_max
        if is_many or self.held_bytes + wanted > self._bytes_max:
            raise OverloadedError(
                "too much is under way here; ask again in a moment",
                retry_after_s=RETRY_AFTER_S,
            )
