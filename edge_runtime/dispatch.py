"""What becomes of a request: answered at once, queued, or sent to a thread.

What has a route is answered in the event loop, or by its model's queue. Bodies
that take long to read are read in a thread. Everything without a route is
answered by the Flask app in a thread of its own, which is built when the first
such request comes. What waits for a thread is bounded: one too many is answered
503 at once.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from edge_runtime.access import Access
from edge_runtime.batcher import PARALLEL, Note, Queue
from edge_runtime.calls import Call
from edge_runtime.counts import UNKNOWN_ROUTE, Counts
from edge_runtime.http_head import Head
from edge_runtime.replies import Body, Reply, error_reply, mistake, refusal
from edge_runtime.routes import Infer, Key, Route
from edge_runtime.served_model import ServedModel
from edge_runtime.settings import Limits
from edge_runtime.wsgi import WsgiApp, call_wsgi
from packhorse.errors import LimitExceededError, MalformedError

LONG_JSON_BYTES = 128 * 1024
"""Reading so much JSON takes longer than a hop to a thread."""

_APP_THREADS = 4

Done = Callable[[Reply, str], None]
Refused = tuple[Reply, str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who hears of what was answered.

    Attributes:
        counts: Of every answer.
        note: Of every inference that was run.
    """

    counts: Counts
    note: Note


class Client(Protocol):
    """Who waits for an answer: a connection."""

    def answer(self, reply: Reply, head: Head) -> None:
        """Send the answer to the request that `head` began."""

    def hold_more(self, count: int) -> bool:
        """Take memory for the request under way; False where there is too little."""


@dataclass(slots=True, eq=False)
class Exchange:
    """An inference that a connection waits for."""

    client: Client
    head: Head
    route: Infer
    counts: Counts
    arrived_s: float

    def answered(self, reply: Reply, outcome: str) -> None:
        """Count the inference and send its answer."""
        elapsed_s = time.perf_counter() - self.arrived_s
        measures = self.route.model.measures
        measures.requests[outcome] += 1
        measures.last_at_s = now_s = time.time()
        if outcome == "ok":
            measures.recent_ms.append((now_s, 1000.0 * elapsed_s))
        self.counts.add(self.route.name, reply.status, elapsed_s)
        self.client.answer(reply, self.head)


class Dispatch:
    """Answers the requests of one process."""

    def __init__(
        self,
        routes: Callable[[], Mapping[Key, Route]],
        make_app: Callable[[], WsgiApp],
        watchers: Watchers,
        limits: Limits,
        access: Access | None = None,
    ) -> None:
        """Make ready to answer.

        Args:
            routes: Gives the routes of what is served now.
            make_app: Builds the Flask app.
            watchers: Who hears of what was answered.
            limits: What is taken from clients.
            access: Whom to refuse; None answers everybody.
        """
        self._build_routes = routes
        self._routes = routes()
        self._make_app = make_app
        self._app: WsgiApp | None = None
        self._app_lock = threading.Lock()
        self._counts = watchers.counts
        self._limits = limits
        self._note = watchers.note
        self._access = access
        self._queues: dict[ServedModel, Queue] = {}
        self._waiting = 0
        self._compute = ThreadPoolExecutor(PARALLEL, "compute")
        self._app_pool = ThreadPoolExecutor(_APP_THREADS, "app")
        self._loop = asyncio.get_running_loop()

    def shut_down(self) -> None:
        """Let go of the threads; what still waits for one is dropped."""
        self._compute.shutdown(wait=False, cancel_futures=True)
        self._app_pool.shutdown(wait=False, cancel_futures=True)

    def changed(self) -> None:
        """Look again at what is served; from any thread."""
        self._loop.call_soon_threadsafe(self._rebuild)

    def submit(self, call: Call) -> None:
        """Queue a call that another thread has decoded."""
        call.arrived_s = time.perf_counter()
        call.done = partial(_counted, call, call.done)
        self._loop.call_soon_threadsafe(self._enqueue, call)

    def check(self, head: Head) -> Reply | None:
        """Return the refusal of a client who shows nothing, before its body comes."""
        if self._access is None or (refused := self._access.check(head)) is None:
            return None
        self._counts.add(UNKNOWN_ROUTE, refused.status, 0.0)
        return refused

    def take(self, client: Client, head: Head, body: Body) -> None:
        """Answer a request, now or later."""
        route = self._routes.get((head.method, head.path))
        if isinstance(route, Infer):
            self._infer(client, head, route, body)
        elif route is None:
            job = partial(guarded, self._call_app, head, body)
            self._in_thread(client, head, job)
        else:
            begun_s = time.perf_counter()
            reply = guarded(route.handler, body)
            self._reply(client, head, route.name, reply, time.perf_counter() - begun_s)

    def _reply(
        self, client: Client, head: Head, route: str, reply: Reply, elapsed_s: float
    ) -> None:
        self._counts.add(route, reply.status, elapsed_s)
        client.answer(reply, head)

    # Inferences.

    def _infer(self, client: Client, head: Head, route: Infer, body: Body) -> None:
        """Decode a request and queue it."""
        exchange = Exchange(client, head, route, self._counts, time.perf_counter())
        if _takes_long(head, body):
            self._decode_in_thread(exchange, body)
        else:
            self._decoded(exchange, self._decode(head, route, body))

    def _decode(self, head: Head, route: Infer, body: Body) -> Call | Refused:
        """Decode a request, or say what is wrong with it."""
        limit_bytes = self._limits.body_max_bytes
        try:
            return route.decode(route.model, head.envelope, body, limit_bytes)
        except LimitExceededError as error:
            return refusal(error, route.model.headers), "too_large"
        except MalformedError as error:
            return refusal(error, route.model.headers), "malformed"
        except Exception as error:  # noqa: BLE001 - the server's last handler
            return mistake(error), "model_failed"

    def _decode_in_thread(self, exchange: Exchange, body: Body) -> None:
        if self._waiting >= self._limits.queue_max:
            exchange.answered(_too_many(), "overloaded")
            return
        job = partial(self._decode, exchange.head, exchange.route, body)
        self._wait_for(self._compute, job, partial(self._decoded, exchange))

    def _decoded(self, exchange: Exchange, call: Call | Refused) -> None:
        if isinstance(call, tuple):
            exchange.answered(*call)
            return
        if call.inflated_bytes and not exchange.client.hold_more(call.inflated_bytes):
            exchange.answered(_too_many(), "overloaded")
            return
        call.arrived_s, call.done = exchange.arrived_s, exchange.answered
        self._enqueue(call)

    def _enqueue(self, call: Call) -> None:
        queue = self._queues.get(call.model) or self._make_queue(call.model)
        queue.put(call)

    def _make_queue(self, model: ServedModel) -> Queue:
        queue = Queue(
            model,
            self._compute,
            ahead_max=self._limits.batches_ahead_max,
            rows_max=self._limits.batch_rows_max,
            note=self._note,
        )
        self._queues[model] = queue
        return queue

    def _rebuild(self) -> None:
        """Route to what is served now; let go of queues that nobody needs."""
        self._routes = self._build_routes()
        served = {r.model for r in self._routes.values() if isinstance(r, Infer)}
        for model in self._queues.keys() - served:
            if self._queues[model].is_idle:
                del self._queues[model]

    # Threads.

    def _in_thread(self, client: Client, head: Head, job: Callable[[], Reply]) -> None:
        """Have the app answer, or say at once that too many wait for it."""
        begun_s = time.perf_counter()
        if self._waiting >= self._limits.queue_max:
            self._reply(client, head, "other", _too_many(), 0.0)
            return

        def send(reply: Reply) -> None:
            elapsed_s = time.perf_counter() - begun_s
            self._reply(client, head, "other", reply, elapsed_s)

        self._wait_for(self._app_pool, job, send)

    def _wait_for(
        self, pool: Executor, job: Callable[[], T], take: Callable[[T], None]
    ) -> None:
        """Do a job in a thread, and take what it came to in the event loop."""
        self._waiting += 1

        def finish(future: "asyncio.Future[T]") -> None:
            self._waiting -= 1
            if not future.cancelled():
                take(future.result())

        self._loop.run_in_executor(pool, job).add_done_callback(finish)

    def _call_app(self, head: Head, body: Body) -> Reply:
        with self._app_lock:
            if self._app is None:
                self._app = self._make_app()
        return call_wsgi(self._app, head, body)


def guarded(handler: Callable[..., Reply], *arguments: object) -> Reply:
    """Call a handler; whatever it raises is a mistake of ours, logged here."""
    try:
        return handler(*arguments)
    except Exception as error:  # noqa: BLE001 - the server's last handler
        return mistake(error)


def _takes_long(head: Head, body: Body) -> bool:
    """Say whether reading the body would keep other clients waiting."""
    try:
        envelope = head.envelope
    except MalformedError:
        return False
    json_bytes = len(body) if envelope.json_bytes is None else envelope.json_bytes
    return bool(envelope.body_coding) or json_bytes > LONG_JSON_BYTES


def _counted(call: Call, done: Done, reply: Reply, outcome: str) -> None:
    """Count a call that Flask carries; its time is counted with its route."""
    call.model.measures.requests[outcome] += 1
    done(reply, outcome)


def _too_many() -> Reply:
    return error_reply(503, "too many requests wait", (("Retry-After", "1"),))
