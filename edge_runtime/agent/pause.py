"""A pause after a refusal that doubles with each one: nobody is asked in vain often."""

import time
from collections.abc import Callable

from edge_runtime.agent.schedule import spread

FIRST_S = 5.0
"""A device that has only just enrolled is known a moment later."""

LONGEST_S = 3600.0
"""A device that was revoked asks once an hour whether it was let in again."""


class Pause:
    """Whether to ask again yet; kept in memory, so a restart asks at once."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without a pause."""
        self._clock = clock
        self._until_s = float("-inf")
        self._next_s = FIRST_S

    @property
    def is_over(self) -> bool:
        """Say whether it is time to ask."""
        return self._clock() >= self._until_s

    def begin(self) -> float:
        """Begin a pause twice as long as the last; return how long, in seconds."""
        pause_s = spread(self._next_s)
        self._until_s = self._clock() + pause_s
        self._next_s = min(2 * self._next_s, LONGEST_S)
        return pause_s

    def end(self) -> None:
        """End it: nothing was refused."""
        self._until_s = float("-inf")
        self._next_s = FIRST_S
