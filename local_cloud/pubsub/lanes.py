"""How fast one push endpoint is asked, by how it has answered.

While requests succeed, more may be under way at once. After failures nothing
new is begun for a pause, which doubles; requests that were under way together
and failed together count as one failure.

Source: cloud.google.com/pubsub/docs/push, "Push backoff" and "Delivery rate"
"""

from dataclasses import dataclass

WINDOW_MAX = 16
"""Requests under way to one endpoint; Google's window is wider."""
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 60.0
"""Google's bounds of the push backoff."""


@dataclass(slots=True)
class Lane:
    """What is known of one endpoint; `now` is Unix time in seconds.

    Attributes:
        pause_max_s: The longest pause.
        under_way: Requests that are not yet answered.
        window: How many of them there may be.
        failures: Failures since the last success.
        paused_at: When the latest pause began.
        resumes_at: When it ends.
    """

    pause_max_s: float = PAUSE_MAX_S
    under_way: int = 0
    window: int = 1
    failures: int = 0
    paused_at: float = 0.0
    resumes_at: float = 0.0

    def room(self) -> int:
        """Return how many requests may be begun."""
        return max(0, self.window - self.under_way)

    def succeed(self) -> None:
        """Take a success: open the window, and forget the failures."""
        self.under_way -= 1
        self.failures = 0
        self.window = min(WINDOW_MAX, self.window * 2)

    def fail(self, *, begun_at: float, now: float) -> None:
        """Take the failure of a request: pause, unless the pause is its own already."""
        self.under_way -= 1
        if begun_at < self.paused_at:
            return
        pause_s = PAUSE_MIN_S * 2.0 ** min(self.failures, 30)  # 30: no overflow
        self.failures += 1
        self.window = max(1, self.window // 2)
        self.paused_at = now
        self.resumes_at = now + min(self.pause_max_s, pause_s)
