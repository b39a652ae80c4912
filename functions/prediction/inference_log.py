"""Log a sample of what was asked and answered, as a gateway's prediction log does.

One structured log line for each: what docs/protocol.md, 12.2 says, except where
tensors kept in full are: in the line, as base64. A small body is read and written
at once, before the caller has its answer, since a function has no processor
afterwards; a longer one in a thread, so that others are answered meanwhile. One
is read at a time, and what it takes decides when the next may be.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple

from functions.adapters.upstream.client import Answer
from functions.prediction import request_line
from functions.prediction.event_line import event_line
from functions.prediction.noted import Noted
from packhorse.sampler import PAUSE_S, Sampler

INLINE_MAX_BYTES = 64 * 1024
"""Of both bodies together: about half a millisecond."""

WAITING_MAX = 4
WAITING_MAX_BYTES = 24 * 1024**2
"""Of bodies that wait for the thread; what comes then is dropped, and counted."""

BUSY_SHARE = 0.02
"""Of the processor, for all entries together, unless every request is kept."""

TOLD_EVERY_S = 30.0

_KERNEL = random.SystemRandom()
"""Processes that forked from one another draw apart from it."""


class Encoded(NamedTuple):
    """An entry written, or why it is not, and what that took."""

    line: bytes | None
    why: str
    took_s: float


class InferenceLog:
    """The log of one process; belongs to the running loop.

    Attributes:
        dropped: How many sampled requests are not in the log, by reason: `queue`
            (too many waited), `too_large` (not even the summary fits),
            `unencodable`.
    """

    def __init__(
        self,
        ratio: float,
        policy: str,
        *,
        write: Callable[[bytes], None] = request_line.write,
        draw: Callable[[], float] = _KERNEL.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep a share of `ratio` of the requests.

        Args:
            ratio: In [0, 1].
            policy: "summary", "full" or "off".
            write: Takes one line.
            draw: Returns a number in [0, 1).
            clock: Tells how long something took, in seconds.
        """
        self._loop = asyncio.get_running_loop()
        self._policy = policy
        self._write = write
        self._clock = clock
        self._sampler = Sampler(0.0 if policy == "off" else ratio, draw, clock)
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: set[asyncio.Future[Encoded]] = set()
        self._waiting_bytes = 0
        self._is_loaded = False
        self._told: Counter[str] = Counter()
        self._tell_at_s = 0.0
        self.dropped: Counter[str] = Counter()

    def note(  # noqa: PLR0913, PLR0917 - what a record says
        self,
        model: str,
        release: str,
        request_id: str,
        traceparent: str,
        body: bytes,
        content_type: str,
        answer: Answer | None,
        outcome: str,
        upstream_s: float,
    ) -> None:
        """Log a request where it is sampled; returns soon.

        Args:
            model: Which was asked.
            release: What answered; empty where nobody knows.
            request_id: As the caller got it.
            traceparent: As it came; empty for none.
            body: As it went upstream.
            content_type: As it went upstream.
            answer: None where there was none.
            outcome: `ok`, or what became of it instead.
            upstream_s: How long upstream took.
        """
        if not self._sampler.wants():
            return
        noted = Noted(
            at_s=time.time() - upstream_s,
            model=model,
            version=release.rpartition("@")[2],
            request_id=request_id,
            traceparent=traceparent,
            body=body,
            content_type=content_type,
            answer=answer,
            outcome=outcome,
            upstream_s=upstream_s,
            ratio=self._sampler.ratio,
        )
        if self._is_loaded and noted.size_bytes <= INLINE_MAX_BYTES:
            self._take(self._encode(noted))
        else:
            self._hand_over(noted)

    async def drain(self, *, deadline: float) -> None:
        """Write what waits, as this process ends."""
        if self._waiting:
            left_s = deadline - self._loop.time()
            await asyncio.wait(self._waiting, timeout=max(0.0, left_s))
        self._tell()

    def _hand_over(self, noted: Noted) -> None:
        size = noted.size_bytes
        is_full = self._waiting_bytes + size > WAITING_MAX_BYTES
        if is_full or len(self._waiting) >= WAITING_MAX:
            self.dropped["queue"] += 1
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "inference-log")
        future = self._loop.run_in_executor(self._thread, self._encode, noted)
        self._waiting.add(future)
        self._waiting_bytes += size

        def written(done: "asyncio.Future[Encoded]") -> None:
            self._waiting.discard(done)
            self._waiting_bytes -= size
            self._is_loaded = True
            if not done.cancelled():
                self._take(done.result())

        future.add_done_callback(written)

    def _encode(self, noted: Noted) -> Encoded:
        """Write one entry; on any thread."""
        from functions.prediction.inference_entry import (  # noqa: PLC0415 - numpy
            encode_noted,
        )

        began_s = self._clock()
        try:
            line = encode_noted(noted, self._policy)
            why = "" if line else "too_large"
        except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError):
            line, why = None, "unencodable"  # no request may fail for its entry
        return Encoded(line, why, self._clock() - began_s)

    def _take(self, encoded: Encoded) -> None:
        self._sampler.pause_s = max(PAUSE_S, encoded.took_s / BUSY_SHARE)
        if encoded.line is None:
            self.dropped[encoded.why] += 1
        else:
            self._write(encoded.line)
        if self._loop.time() >= self._tell_at_s:
            self._tell()

    def _tell(self) -> None:
        """Write how many are missing since this was said last."""
        missing = self.dropped - self._told
        if missing:
            self._told = self.dropped.copy()
            self._tell_at_s = self._loop.time() + TOLD_EVERY_S
            at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            document = {"kind": "dropped", "at": at, "dropped": dict(missing)}
            self._write(event_line("predictions dropped", document))
