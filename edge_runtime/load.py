"""How much each of several processes has to do, where all of them can see it."""

import mmap

_NUMBER_BYTES = 8
"""An aligned machine word is written at once."""


class Load:
    """One process's own number of connections, beside those of the others."""

    def __init__(self, numbers: memoryview, place: int) -> None:
        """Write at `place` of `numbers`, which `shared_numbers` made."""
        self._numbers = numbers
        self._place = place

    @property
    def is_shared(self) -> bool:
        """Whether there are other processes."""
        return len(self._numbers) > 1

    def tell(self, count: int) -> None:
        """Say how many connections this process has."""
        self._numbers[self._place] = count

    def is_most(self) -> bool:
        """Say whether another process has fewer."""
        return int(self._numbers[self._place]) > min(self._numbers)


def shared_numbers(count: int) -> memoryview:
    """Return zeros that processes which fork from now on have in common."""
    return memoryview(mmap.mmap(-1, count * _NUMBER_BYTES)).cast("q")
