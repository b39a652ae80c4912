"""A bar on the terminal while the load runs; nothing where nobody watches."""

import sys
import time
from types import TracebackType
from typing import Self

_WIDTH = 30
_SURE_S = 0.2
"""Before that, a rate says nothing."""


class Progress:
    """Draws on standard error, and wipes it away at the end."""

    def __init__(self, whole_s: float) -> None:
        """Begin; it will take `whole_s`."""
        self._whole_s = whole_s
        self._begun_s = time.monotonic()
        self._is_watched = sys.stderr.isatty()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wipe the bar away."""
        if self._is_watched:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def tell(self, counted_s: float, answers: int) -> None:
        """Draw how far it is, and how many answers a second came so far."""
        if not self._is_watched:
            return
        gone_s = time.monotonic() - self._begun_s
        filled = min(_WIDTH, round(_WIDTH * gone_s / self._whole_s))
        rate = f"{answers / counted_s:,.0f}/s" if counted_s > _SURE_S else ""
        bar = f"[{'#' * filled}{' ' * (_WIDTH - filled)}]"
        sys.stderr.write(f"\r\033[K{bar} {gone_s:.0f}/{self._whole_s:.0f} s {rate}")
        sys.stderr.flush()
