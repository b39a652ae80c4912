"""Says on standard error how far the ring is, and how long it will take."""

import sys
import time


class Progress:
    """Counts steps: one line that changes on a terminal, else a line now and then."""

    def __init__(self, steps: int) -> None:
        """Begin; `steps` is an estimate."""
        self._steps, self._done = steps, 0
        self._begun_s = self._told_s = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def tell(self, text: str) -> None:
        """Say what is done now."""
        self._done += 1
        now_s = time.monotonic()
        line = f"[{self._done}/{self._steps}{self._left(now_s)}] {text}"
        if self._is_terminal:
            sys.stderr.write(f"\r\033[K{line[:110]}")
        elif "drops out" in text or now_s - self._told_s >= _PAUSE_S:
            self._told_s = now_s
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal:
            sys.stderr.write("\r\033[K")

    def _left(self, now_s: float) -> str:
        if self._done < _SURE:
            return ""
        left_s = (now_s - self._begun_s) / self._done * (self._steps - self._done)
        return f", {max(left_s, 0) / 60:.0f} min left"


_PAUSE_S = 5.0
"""Between two lines where there is no terminal."""

_SURE = 10
"""Steps after which the time left can be guessed."""
