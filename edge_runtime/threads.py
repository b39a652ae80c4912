"""Threads that the event loop hands work to, and how that comes back to it.

Each kind of work has threads of its own, so that none waits for another: a model
whose runs take half a minute keeps nobody from reading a body or asking for a
page. They start with the first job, and all at once: later there may be no memory
for a thread, and a job that found none would wait for ever.
"""

import asyncio
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """So many threads for one kind of work; used in the event loop's thread only.

    Attributes:
        unfinished: How many jobs were handed over and have not come back.
    """

    def __init__(self, count: int, name: str, unfinished_max: float = math.inf) -> None:
        """Start none yet; take no more than so many jobs at a time."""
        self._count = count
        self._name = name
        self._unfinished_max = unfinished_max
        self._pool: ThreadPoolExecutor | None = None
        self._is_shut = False
        self.unfinished = 0

    def do(
        self,
        job: Callable[[], T],
        take: Callable[[T], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Do a job in a thread.

        Args:
            job: What is done there.
            take: Takes what it came to, in the event loop.
            fail: Takes what it raised, in the event loop; or, at once, why no
                thread can be had.
        """
        if self.unfinished >= self._unfinished_max:
            fail(RuntimeError("too many jobs wait"))
            return
        try:
            pool = self._pool = self._pool or self._start()
            future = asyncio.get_running_loop().run_in_executor(pool, job)
        except RuntimeError as error:  # no memory for threads, or this is the end
            fail(error)
            return
        self.unfinished += 1

        def finish(future: "asyncio.Future[T]") -> None:
            self.unfinished -= 1
            if future.cancelled():
                fail(RuntimeError("the process ends"))
            elif (error := future.exception()) is not None:
                fail(error)
            else:
                take(future.result())

        future.add_done_callback(finish)

    def shut_down(self) -> None:
        """Take no more jobs, and drop those that no thread has begun."""
        self._is_shut = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> ThreadPoolExecutor:
        """Start all threads.

        Raises:
            RuntimeError: There is no memory for them, or they were shut down.
        """
        if self._is_shut:
            raise RuntimeError("the process ends")
        pool = ThreadPoolExecutor(self._count, self._name)
        # None is idle before all are there, so each job starts one.
        together = threading.Barrier(self._count)
        try:
            for _ in range(self._count):
                pool.submit(together.wait)
        except RuntimeError:
            together.abort()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return pool
