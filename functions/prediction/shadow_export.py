"""Report the sums of shadow runs, now and then, while a request is answered.

A function has no processor after its response, so nothing is sent by a timer: a
request that finds sums that have waited long enough starts their way, beside its
own. What is not taken goes again with a later one.
"""

import asyncio
from collections.abc import Callable, Mapping

from functions.adapters.topic import Topic
from functions.errors import CloudError
from functions.prediction.shadow_sums import ShadowSums
from functions.release.shadows import encode_shadow_report
from packhorse.errors import PackhorseError

EVERY_S = 30.0
"""Two messages a minute from each instance that shadows at all."""

PUBLISH_S = 10.0

Note = Callable[[str, Mapping[str, object]], None]


class ShadowExport:
    """The way of the sums to the topic `shadows`."""

    def __init__(
        self, sums: ShadowSums, topic: Topic, note: Note, *, every_s: float = EVERY_S
    ) -> None:
        """Report what `sums` holds; belongs to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._sums = sums
        self._topic = topic
        self._note = note
        self._every_s = every_s
        self._due_s = self._loop.time() + every_s
        self._task: asyncio.Task[None] | None = None
        self._is_failing = False

    def begin_if_due(self) -> None:
        """Start a report where one is due; returns at once."""
        now_s = self._loop.time()
        if now_s < self._due_s or self._task is not None or self._sums.is_empty:
            return
        self._due_s = now_s + self._every_s
        self._start(now_s + PUBLISH_S)

    async def flush(self, *, deadline: float) -> None:
        """Report what there is, as this process ends; never longer than that.

        What is on its way, or was kept back, goes first.
        """
        if self._task is not None:
            await self._wait(self._task, deadline)
        await self._report(deadline)
        if not self._is_failing:
            await self._report(deadline)

    async def _report(self, deadline: float) -> None:
        if self._task is None and not self._sums.is_empty:
            await self._wait(self._start(deadline), deadline)

    async def _wait(self, task: "asyncio.Task[None]", deadline: float) -> None:
        left_s = deadline - self._loop.time()
        await asyncio.wait([task], timeout=max(0.0, left_s))

    def _start(self, deadline: float) -> "asyncio.Task[None]":
        self._task = self._loop.create_task(self._send(deadline))
        self._task.add_done_callback(self._ended)
        return self._task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._note("shadow sums crashed", {"cause": type(error).__name__})

    async def _send(self, deadline: float) -> None:
        bodies = [encode_shadow_report(one) for one in self._sums.leaving()]
        try:
            await self._topic.publish(bodies, deadline=deadline)
        except (CloudError, PackhorseError) as error:
            if not self._is_failing:
                self._note("shadow sums kept back", {"reason": str(error)})
            self._is_failing = True
            return
        self._is_failing = False
        self._sums.taken()
