"""End well: what this process began is finished when SIGTERM comes.

Cloud Run sends no more requests then. gunicorn passes the signal on to its worker,
where uvicorn waits for it; we act first and call uvicorn then, for it ends the loop
as soon as every caller has an answer.
"""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType

from functions.prediction.parts import Parts

FINISH_S = 2.0
"""For what runs beside requests; those under way have their time meanwhile."""


async def finish(parts: Parts) -> None:
    """Begin to drain, and write and report what is done only now and then."""
    parts.underway.drain()
    deadline = asyncio.get_running_loop().time() + FINISH_S
    if parts.shadow is not None:
        await parts.shadow.drain(deadline=deadline)
    if parts.inference_log is not None:
        await parts.inference_log.drain(deadline=deadline)
    await parts.expectations.close()


def on_sigterm(act: Callable[[], Awaitable[None]]) -> None:
    """Act on the running loop when SIGTERM comes, and then let the server know.

    Where nobody else waits for the signal, or signals are another thread's
    business, nothing is done here.
    """
    before = signal.getsignal(signal.SIGTERM)
    is_main = threading.current_thread() is threading.main_thread()
    if not callable(before) or not is_main:
        return
    loop = asyncio.get_running_loop()
    acting: set[asyncio.Task[None]] = set()

    async def act_first(signum: int) -> None:
        try:
            await act()
        finally:
            before(signum, None)

    def begin(signum: int) -> None:
        task = loop.create_task(act_first(signum))
        acting.add(task)
        task.add_done_callback(acting.discard)

    def handle(signum: int, _frame: FrameType | None) -> None:
        with suppress(RuntimeError):
            # The loop may have ended.
            loop.call_soon_threadsafe(begin, signum)

    signal.signal(signal.SIGTERM, handle)
