"""One worker's HTTP server: its connections, its threads, its drain.

Short routes are answered in the event loop, slow ones in a compute thread, and
everything without a route by the Flask app in a thread of its own, which is
built when the first such request comes. What waits for a thread is bounded: one
too many is answered 503 at once.
"""

import asyncio
import contextlib
import functools
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

from edge_runtime.counts import Counts
from edge_runtime.errors import OverrunError
from edge_runtime.hot_path import Connection
from edge_runtime.http_head import Head
from edge_runtime.log import log
from edge_runtime.replies import Reply, error_reply, refusal
from edge_runtime.routes import Key, Route
from edge_runtime.settings import Limits
from edge_runtime.sized_body import STEP_BYTES, Allowance
from edge_runtime.wsgi import WsgiApp, call_wsgi

BACKLOG = 1024
"""Connections that the kernel keeps waiting, as during a switch."""

_TICK_S = 0.25
_APP_THREADS = 4
_COMPUTE_THREADS = 2
"""Enough for both cores of a small gateway; a model's own run uses one thread."""

Body = bytes | bytearray
Job = Callable[[], Reply]


class Server:
    """Accepts on an inherited socket, and answers."""

    def __init__(
        self,
        routes: Mapping[Key, Route],
        make_app: Callable[[], WsgiApp],
        counts: Counts,
        limits: Limits,
    ) -> None:
        """Make ready; nothing is accepted before `accept`."""
        self.limits = limits
        self.allowance = Allowance(limits.bodies_max_bytes)
        self.now_s = time.monotonic()
        self.date = _date_line()
        self.is_draining = False
        self._routes = routes
        self._make_app = make_app
        self._app: WsgiApp | None = None
        self._app_lock = threading.Lock()
        self._counts = counts
        self._connections: set[Connection] = set()
        self._listening: asyncio.Server | None = None
        self._waiting = 0
        self._compute = ThreadPoolExecutor(_COMPUTE_THREADS, "compute")
        self._app_pool = ThreadPoolExecutor(_APP_THREADS, "app")

    async def accept(self, listener: socket.socket) -> None:
        """Take new connections from `listener`, which stays open when this ends."""
        self.is_draining = False
        if self._listening is None:
            self._listening = await asyncio.get_running_loop().create_server(
                lambda: Connection(self), sock=listener.dup(), backlog=BACKLOG
            )

    def stop_accepting(self) -> None:
        """Leave new connections to others; answer `Connection: close` from now on."""
        self.is_draining = True
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def drain(self, *, idle_s: float, limit_s: float) -> bool:
        """Stop accepting, finish what is running, close what is idle.

        Args:
            idle_s: Time that connections without a request stay open, so that a
                client that is just sending one is still answered.
            limit_s: Time after which what is left is cut off.

        Returns:
            Whether every connection had ended by itself.
        """
        self.stop_accepting()
        begun_s = time.monotonic()
        while self._connections and self.is_draining:
            open_s = time.monotonic() - begun_s
            if open_s >= limit_s:
                self._cut_off()
                return False
            if open_s >= idle_s:
                self._close_idle()
            await asyncio.sleep(_TICK_S / 10)
        return True

    async def keep_time(self) -> None:
        """Keep the clock and the deadlines; runs as long as the server does."""
        while True:
            self.now_s = time.monotonic()
            self.date = _date_line()
            for connection in [
                c for c in self._connections if c.deadline_s < self.now_s
            ]:
                connection.expire()
            await asyncio.sleep(_TICK_S)

    def shut_down(self) -> None:
        """Let go of the threads; what still waits for one is dropped."""
        self._compute.shutdown(wait=False, cancel_futures=True)
        self._app_pool.shutdown(wait=False, cancel_futures=True)

    # What a connection calls.

    def opened(self, connection: Connection) -> bool:
        """Count a connection in; False when there are too many."""
        self._connections.add(connection)
        return len(self._connections) <= self.limits.connections_max

    def closed(self, connection: Connection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)

    def take(self, connection: Connection, head: Head, body: Body) -> None:
        """Answer a request, here or in a thread."""
        path = head.url.partition(b"?")[0]
        route = self._routes.get((head.method, path))
        if route is None:
            self._answer_by_app(connection, head, body)
        elif route.is_slow or len(body) > STEP_BYTES:
            # Reading so much JSON takes longer than a hop to a thread.
            self._answer_in_thread(connection, head, route, body)
        else:
            self._answer_here(connection, head, route, body)

    # Three ways to answer.

    def _answer_here(
        self, connection: Connection, head: Head, route: Route, body: Body
    ) -> None:
        begun_s = time.perf_counter()
        try:
            reply = _guarded(route.handler, body)
        except OverrunError:
            # Nothing was answered yet, and a thread has more time.
            route.took(time.perf_counter() - begun_s)
            self._answer_in_thread(connection, head, route, body)
            return
        elapsed_s = time.perf_counter() - begun_s
        route.took(elapsed_s)
        self._counts.add(route.name, reply.status, elapsed_s)
        connection.answer(reply, head)

    def _answer_in_thread(
        self, connection: Connection, head: Head, route: Route, body: Body
    ) -> None:
        job = functools.partial(_patient, route.handler, body)
        self._submit(self._compute, job, connection, head, route)

    def _answer_by_app(self, connection: Connection, head: Head, body: Body) -> None:
        job = functools.partial(_patient, self._call_app, head, body)
        self._submit(self._app_pool, job, connection, head, None)

    def _submit(
        self,
        pool: ThreadPoolExecutor,
        job: Job,
        connection: Connection,
        head: Head,
        route: Route | None,
    ) -> None:
        """Queue a job, or say at once that the queue is full."""
        if self._waiting >= self.limits.queue_max:
            reply = error_reply(503, "too many requests wait", (("Retry-After", "1"),))
            self._counts.add(route.name if route else "other", 503, 0.0)
            connection.answer(reply, head)
            return
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(pool, _timed, job)
        future.add_done_callback(
            functools.partial(self._finish, connection, head, route)
        )

    def _finish(
        self,
        connection: Connection,
        head: Head,
        route: Route | None,
        future: "asyncio.Future[tuple[Reply, float]]",
    ) -> None:
        """Send what a thread came to."""
        self._waiting -= 1
        if future.cancelled():
            return
        reply, elapsed_s = future.result()
        if route is not None:
            route.took(elapsed_s)
        self._counts.add(route.name if route else "other", reply.status, elapsed_s)
        connection.answer(reply, head)

    def _call_app(self, head: Head, body: Body) -> Reply:
        with self._app_lock:
            if self._app is None:
                self._app = self._make_app()
        return call_wsgi(self._app, head, body)

    def _close_idle(self) -> None:
        for connection in [c for c in self._connections if c.is_idle]:
            connection.close()

    def _cut_off(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(RuntimeError):
                connection.abort()


def _guarded(handler: Callable[..., Reply], *arguments: object) -> Reply:
    """Call a handler; whatever it raises is a mistake of ours, logged here."""
    try:
        return handler(*arguments)
    except OverrunError:
        raise
    except Exception as error:  # noqa: BLE001 - the server's last handler
        log("request_failed", kind=type(error).__name__, reason=str(error)[:200])
        return error_reply(500, "this server made a mistake; its log says which")


def _patient(handler: Callable[..., Reply], *arguments: object) -> Reply:
    """Call a handler in a thread, where a run that is stopped has had its time."""
    try:
        return _guarded(handler, *arguments)
    except OverrunError as error:
        return refusal(error)


def _timed(job: Job) -> tuple[Reply, float]:
    begun_s = time.perf_counter()
    reply = job()
    return reply, time.perf_counter() - begun_s


def _date_line() -> bytes:
    """Return the Date line of answers sent now.

    Source: RFC 9110, 6.6.1
    """
    return f"Date: {formatdate(usegmt=True)}\r\n".encode()
