"""A request body of declared length, and the memory that all bodies share.

A client's word costs nothing: a buffer is memory only where bytes were written
to it, and beyond `STEP_BYTES` it grows as they arrive, each time to twice its
length, from one allowance for every connection of the worker.
"""

import numpy as np

from edge_runtime.http.head import HttpError

STEP_BYTES = 1024 * 1024
"""Buffer that a body gets at first; most requests need no more."""

ALIGNED_BYTES = 16
"""What numpy's own memory begins at a multiple of, and enough for any number."""

SPARE_BYTES = 1
"""Room beyond the body: a read that fills its room is followed by one that finds
nothing, which costs a twentieth of a picture's request."""


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

    def __init__(self, length_bytes: int, first: memoryview, json_bytes: int) -> None:
        """Begin with the bytes that came together with the head.

        Args:
            length_bytes: How long the body will be.
            first: What is there of it.
            json_bytes: Where binary tensors begin, for them to lie as numbers
                must in memory: then nobody has to copy them.
        """
        self._shift_bytes = -json_bytes % ALIGNED_BYTES
        self._length_bytes = length_bytes
        self._whole_bytes = length_bytes + SPARE_BYTES
        self._memory = self._buffer(min(self._whole_bytes, max(STEP_BYTES, len(first))))
        self._memory[: len(first)] = first
        self._got = len(first)

    @property
    def is_whole(self) -> bool:
        """Whether every byte has come."""
        return self._got == self._length_bytes

    @property
    def body(self) -> memoryview:
        """What has come, and room for the rest as far as there is some yet."""
        return self._memory[: self._length_bytes]

    @property
    def held_bytes(self) -> int:
        """How much memory it takes."""
        return len(self._memory)

    def room(self) -> memoryview:
        """Return where the next bytes belong, while it is not whole."""
        if self._got == len(self._memory):
            grown = self._buffer(min(2 * self._got, self._whole_bytes))
            grown[: self._got] = self._memory
            self._memory = grown
        return self._memory[self._got :]

    def received(self, count: int) -> memoryview:
        """Count bytes that were written into the room.

        Returns:
            Those of them that begin the next request, which are hardly ever any.
        """
        end = self._got + count
        self._got = min(end, self._length_bytes)
        return self._memory[self._got : end]

    def _buffer(self, length_bytes: int) -> memoryview:
        """Return bytes that nobody has written to: numpy does not clear them."""
        buffer = np.empty(length_bytes + self._shift_bytes, np.uint8)
        return buffer.data[self._shift_bytes :]
