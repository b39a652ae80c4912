"""Decide what is asked for again, how often, and after which pause.

A retry helps one caller and costs the upstream a request when it can least bear
one. So retries come out of a budget, for each endpoint its own: another's good
requests must not pay for a storm on this one. The pause is drawn from nought to
a limit that doubles ("full jitter"), so that those who failed together do not
come back together.

Source: Google, "Site Reliability Engineering", chapter 21, "Client-Side
Throttling" and "Deciding to Retry"; AWS Architecture Blog, "Exponential Backoff
and Jitter"; RFC 9110, 10.2.3
"""

import email.utils
import math
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

TRIES_MAX = 3

BUDGET_RATIO = 0.09
"""Retries to requests. Under the ten in a hundred that we promise, which leaves
room for the rounding of a window and for a request sent again with a new token."""

BUDGET_LEAST = 3
"""Retries in a window whatever its requests: without them a lone caller's one
503 would never be asked again. At most one in ten from 30 requests a window on."""

WINDOW_S = 10
"""Whole seconds. Retries not taken are lost then, so that a good hour does not
pay for a bad minute."""

BACKOFF_S = 0.05
"""Limit of the first pause. Vertex AI's 503 of a replica that goes is over at
once; what is not is a matter for the caller, who has more time than we."""

BACKOFF_MAX_S = 1.0

RETRY_AFTER_MAX_S = 10.0
"""Whoever shall wait longer is told so at once: a request that sleeps here holds
its body, its place and an instance that is paid for."""

TRY_LEAST_S = 0.02
"""No try begins that has less: a model that answers takes about that long."""

TOO_MANY, UNAVAILABLE, GATEWAY_TIMEOUT = 429, 503, 504

_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(slots=True)
class _Window:
    """What one endpoint saw in the last seconds: [second, requests, retries]."""

    seconds: deque[list[int]] = field(default_factory=deque)
    requests: int = 0
    retries: int = 0

    def turn_to(self, second: int) -> list[int]:
        """Forget what is too old, and return the counts of this second."""
        while self.seconds and self.seconds[0][0] <= second - WINDOW_S:
            _, requests, retries = self.seconds.popleft()
            self.requests -= requests
            self.retries -= retries
        if not self.seconds or self.seconds[-1][0] < second:
            self.seconds.append([second, 0, 0])
        return self.seconds[-1]


class Budget:
    """How many retries each endpoint may still see; one for the process."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        ratio: float = BUDGET_RATIO,
        least: int = BUDGET_LEAST,
    ) -> None:
        """Start with nothing seen.

        Args:
            clock: Seconds that never go back.
            ratio: Retries to requests of the last `WINDOW_S` seconds, and of the
                running one.
            least: Retries in either time whatever the requests.
        """
        self._clock = clock
        self._ratio = ratio
        self._least = least
        self._windows: dict[str, _Window] = {}

    def note_request(self, endpoint: str) -> None:
        """Count a caller's request, once however often it is tried."""
        window, second = self._now(endpoint)
        window.requests += 1
        second[1] += 1

    def take_retry(self, endpoint: str) -> bool:
        """Say whether one more retry may be made, and count it if so.

        What the good seconds before a storm allow is not spent in its first one.
        """
        window, second = self._now(endpoint)
        allowed = max(self._least, math.floor(window.requests * self._ratio))
        allowed_now = max(self._least, math.floor(second[1] * self._ratio))
        if window.retries >= allowed or second[2] >= allowed_now:
            return False
        window.retries += 1
        second[2] += 1
        return True

    def _now(self, endpoint: str) -> tuple[_Window, list[int]]:
        # Endpoints are those of the settings, so there are never many.
        window = self._windows.setdefault(endpoint, _Window())
        return window, window.turn_to(int(self._clock()))


def is_retried(status: int, *, retries_timeouts: bool) -> bool:
    """Say whether an answer is worth asking again.

    A 504 is not: the work may have been done, or may go on. Only a route that
    says so is asked again after one.
    """
    if status in {TOO_MANY, UNAVAILABLE}:
        return True
    return retries_timeouts and status == GATEWAY_TIMEOUT


def pause_s(retry: int, asked_s: float, left_s: float, drawn: float) -> float | None:
    """Return how long to wait before a retry; None where none is to be made.

    Args:
        retry: 0 before the second try, 1 before the third.
        asked_s: What `Retry-After` asks for, see `retry_after_s`; never less.
        left_s: From now to the latest beginning of a try that can still end.
        drawn: A random number in [0, 1).
    """
    spare_s = left_s - asked_s
    if asked_s > RETRY_AFTER_MAX_S or spare_s < 0:
        return None
    backoff_s = min(BACKOFF_MAX_S, BACKOFF_S * 2.0**retry)
    # On top of what was asked: all were told the same time.
    return asked_s + drawn * min(backoff_s, spare_s)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Return for how long upstream wants to be left alone; 0 if it does not say.

    A date is held against the answer's own `Date`: no two clocks are compared.
    One that cannot be is as good as for ever, and what is neither seconds nor a
    date says nothing.

    Args:
        headers: Of the answer, names in lower case.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until_s = _instant_s(text)
    if until_s is None:
        return 0.0
    now_s = _instant_s(headers.get("date", ""))
    return math.inf if now_s is None else max(0.0, until_s - now_s)


def _instant_s(text: str) -> float | None:
    """Return an HTTP date as seconds since 1970; None where it is none."""
    if not text or len(text) > len("Wednesday, 06-November-1994 08:49:37 +0000"):
        return None
    try:
        instant: datetime = email.utils.parsedate_to_datetime(text)
        return instant.timestamp()
    except (ValueError, OverflowError):
        return None
