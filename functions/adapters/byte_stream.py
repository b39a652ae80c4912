"""Make a readable file out of bytes that come piece by piece.

What the pieces must be, and what their source raises, is the affair of the
generator behind them: an error of its own leaves `read` as it is.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, cast


def open_stream(pieces: Iterator[bytes]) -> BinaryIO:
    """Return a file that reads `pieces` one after another, once.

    Closing it closes the generator too.
    """
    # A BufferedReader has every method of BinaryIO, and no base in common.
    return cast("BinaryIO", io.BufferedReader(_Pieces(pieces)))


class _Pieces(io.RawIOBase):
    """The one method that `io` asks a source for: its seam is inheritance."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # io passes a memoryview; typeshed asks for any Buffer
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None and not self.closed:
            close()
        super().close()
