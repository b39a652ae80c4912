"""A request body of declared length, and the memory that all bodies share.

A client's word costs nothing: memory is taken as bytes arrive, first a little,
then twice as much, up to the declared length, and from one allowance for every
connection of the worker.
"""

from edge_runtime.http_head import HttpError

STEP_BYTES = 256 * 1024
"""Memory that a body gets at first; most requests need no more."""


class Allowance:
    """Bytes that long bodies may take together while they arrive and wait."""

    def __init__(self, limit_bytes: int) -> None:
        """Start with nothing taken."""
        self._left = limit_bytes

    def take(self, count: int) -> None:
        """Take so many bytes.

        Raises:
            HttpError: There are not so many left.
        """
        if count > self._left:
            raise HttpError(503, "too many long requests are under way")
        self._left -= count

    def give_back(self, count: int) -> None:
        """Give so many bytes back."""
        self._left += count


class SizedBody:
    """Receives a body of known length straight into its own buffer."""

    def __init__(self, length_bytes: int, first: memoryview) -> None:
        """Begin with the bytes that came together with the head."""
        self.body = bytearray(min(length_bytes, STEP_BYTES))
        self.body[: len(first)] = first
        self._length_bytes = length_bytes
        self._got = len(first)

    @property
    def is_whole(self) -> bool:
        """Whether every byte has come."""
        return self._got == self._length_bytes

    def room(self) -> memoryview:
        """Return where the next bytes belong; the view before must be gone."""
        if self._got == len(self.body):
            more = min(self._got, self._length_bytes - self._got)
            self.body += bytes(more)
        return memoryview(self.body)[self._got :]

    def received(self, count: int) -> None:
        """Count bytes that were written into the room."""
        self._got += count
