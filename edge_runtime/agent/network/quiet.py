"""Hear when a server asks to be left alone for a while: `Retry-After`.

Source: RFC 9110, 10.2.3
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_STATUSES = frozenset({429, 503})
_DIGITS_MAX = 9


class Quiet:
    """Until when the servers that were asked want no more requests."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with servers that asked for nothing."""
        self._clock = clock
        self._lock = threading.Lock()
        self._until_s = 0.0

    def note(self, status: int, headers: Mapping[str, str]) -> None:
        """Take what an answer says about the next request."""
        if status not in _STATUSES:
            return
        wait_s = retry_after_s(headers.get("Retry-After", ""))
        with self._lock:
            self._until_s = max(self._until_s, self._clock() + wait_s)

    def take_s(self) -> float:
        """Return how long to be quiet from now on; it is told once."""
        with self._lock:
            wait_s, self._until_s = self._until_s - self._clock(), 0.0
        return max(0.0, wait_s)


def retry_after_s(text: str) -> float:
    """Read the header, in seconds from now; what is no such header asks for nothing."""
    if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError, TypeError):
        return 0.0
