"""What becomes of a request: answered at once, queued, or sent to a thread.

What has a route is answered in the event loop, or by its model's queue. Bodies
that take long to read are read in a thread. Everything without a route is
answered by the Flask app in a thread, which is built when the first such request
comes. Each of these, and each model, has threads of its own: none waits for
another. What waits for a thread is bounded: one too many is answered 503 at once.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote_to_bytes

from edge_runtime.counts import UNKNOWN_ROUTE, Counts
from edge_runtime.exchange import Client, Exchange, takes_long
from edge_runtime.http.access import Access
from edge_runtime.http.head import Head
from edge_runtime.http.replies import (
    Body,
    Reply,
    mistake,
    refusal,
    unavailable,
)
from edge_runtime.http.wsgi import WsgiApp, call_wsgi
from edge_runtime.inference.batcher import PARALLEL, Note, Queue
from edge_runtime.inference.calls import Call, outcome_of, rows_of, undecoded
from edge_runtime.inference.runs import late
from edge_runtime.models.served_model import ServedModel
from edge_runtime.routes import Infer, Key, Route
from edge_runtime.settings.serve_settings import Limits
from edge_runtime.threads import Threads
from packhorse.errors import MalformedError

_READING_THREADS = 2
_APP_THREADS = 4

_TOO_MANY = "too many requests wait"

Done = Callable[[Reply, str], None]
Refused = tuple[Reply, str]


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who hears of what was answered.

    Attributes:
        counts: Of every answer.
        note: Of every inference, once it is answered.
    """

    counts: Counts
    note: Note


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
        self._served = _models_of(self._routes)
        self._make_app = make_app
        self._app: WsgiApp | None = None
        self._app_lock = threading.Lock()
        self._counts = watchers.counts
        self._limits = limits
        self._note = watchers.note
        self._access = access
        self._queues: dict[ServedModel, Queue] = {}
        self._submitted: set[Call] = set()
        self._reading = Threads(_READING_THREADS, "read", limits.queue_max)
        self._app_threads = Threads(_APP_THREADS, "app", limits.queue_max)
        self._is_shut = False
        self._loop = asyncio.get_running_loop()

    def shut_down(self) -> None:
        """Let go of the threads, of which none may wait for an answer any more."""
        self._is_shut = True
        self._reading.shut_down()
        self._app_threads.shut_down()
        for queue in self._queues.values():
            queue.shut_down()
        for call in list(self._submitted):
            self._turn_away(call)

    def changed(self) -> None:
        """Look again at what is served; from any thread."""
        self._loop.call_soon_threadsafe(self._rebuild)

    def submit(self, call: Call) -> None:
        """Queue a call that another thread has decoded."""
        call.done = partial(self._submitted_done, call, call.done)
        self._loop.call_soon_threadsafe(self._enqueue_submitted, call)

    def refused(self, call: Call, outcome: str) -> None:
        """Count an inference that another thread has refused."""
        self._loop.call_soon_threadsafe(self._count_refused, call, outcome)

    def check(self, head: Head) -> Reply | None:
        """Return the refusal of a client who shows nothing, before its body comes."""
        if self._access is None or (refused := self._access.check(head)) is None:
            return None
        self._counts.add(UNKNOWN_ROUTE, refused.status, 0.0)
        return refused

    def take(self, client: Client, head: Head, body: Body) -> None:
        """Answer a request, now or later."""
        route = self._routes.get((head.method, head.path))
        if route is None:
            route = self._odd_route(head)
        if isinstance(route, Infer):
            self._infer(client, head, route, body)
        elif route is None:
            job = partial(guarded, self._call_app, head, body)
            self._in_thread(client, head, job)
        else:
            begun_s = time.perf_counter()
            reply = guarded(route.handler, body)
            self._reply(client, head, route.name, reply, time.perf_counter() - begun_s)

    def _odd_route(self, head: Head) -> Route | None:
        """Return the route of a path that is written otherwise, where it has one."""
        path = unquote_to_bytes(head.path).removesuffix(b"/")
        return self._routes.get((head.method, path))

    def _reply(
        self, client: Client, head: Head, route: str, reply: Reply, elapsed_s: float
    ) -> None:
        self._counts.add(route, reply.status, elapsed_s)
        client.answer(reply, head)

    # Inferences.

    def _infer(self, client: Client, head: Head, route: Infer, body: Body) -> None:
        """Decode a request and queue it."""
        exchange = Exchange(client, head, route, self._counts, time.perf_counter())
        if takes_long(head, body):
            self._decode_in_thread(exchange, body)
        else:
            self._decoded(exchange, self._decode(head, route, body))

    def _decode(self, head: Head, route: Infer, body: Body) -> Call | Refused:
        """Decode a request, or say what is wrong with it."""
        if head.fault:
            error = MalformedError(head.fault)
            return refusal(error, route.model.headers), outcome_of(error)
        limit_bytes = self._limits.body_max_bytes
        try:
            return route.decode(route.model, head.envelope, body, limit_bytes)
        except MalformedError as error:
            return refusal(error, route.model.headers), outcome_of(error)
        except Exception as error:  # noqa: BLE001 - the server's last handler
            return mistake(error, route.model.headers), "model_failed"

    def _decode_in_thread(self, exchange: Exchange, body: Body) -> None:
        def refuse(_error: BaseException) -> None:
            self._refuse(exchange, _overloaded(exchange))

        job = partial(self._decode_in_time, exchange, body)
        self._reading.do(job, partial(self._decoded, exchange), refuse)

    def _decode_in_time(self, exchange: Exchange, body: Body) -> Call | Refused:
        """Decode a request that had to wait, unless nobody waits for it any more."""
        allowed_s = exchange.head.envelope.timeout_s
        waited_s = time.perf_counter() - exchange.arrived_s
        if allowed_s is not None and waited_s > allowed_s:
            return late(exchange.route.model.headers, allowed_s)
        return self._decode(exchange.head, exchange.route, body)

    def _decoded(self, exchange: Exchange, call: Call | Refused) -> None:
        if isinstance(call, tuple):
            self._refuse(exchange, call)
            return
        if call.inflated_bytes and not exchange.client.hold_more(call.inflated_bytes):
            call.rows = rows_of(call.inputs)
            self._refuse(exchange, _overloaded(exchange), call)
            return
        call.arrived_s, call.done = exchange.arrived_s, exchange.answered
        self._enqueue(call)

    def _refuse(
        self, exchange: Exchange, refused: Refused, call: Call | None = None
    ) -> None:
        """Answer an inference that will stand in no queue."""
        exchange.answered(*refused)
        if call is None:
            call = undecoded(exchange.route.model, exchange.head.envelope)
        call.arrived_s = exchange.arrived_s
        self._note_unrun(call, refused[1])

    def _note_unrun(self, call: Call, outcome: str) -> None:
        waited_s = time.perf_counter() - call.arrived_s
        self._note(call, None, outcome, waited_s, 0.0)

    def _count_refused(self, call: Call, outcome: str) -> None:
        call.model.measures.requests[outcome] += 1
        self._note_unrun(call, outcome)

    def _enqueue(self, call: Call) -> None:
        queue = self._queues.get(call.model) or self._make_queue(call.model)
        queue.put(call)

    def _enqueue_submitted(self, call: Call) -> None:
        """Queue a call that a thread of the app waits for."""
        self._submitted.add(call)
        if self._is_shut:
            self._turn_away(call)
        else:
            self._enqueue(call)

    def _turn_away(self, call: Call) -> None:
        """Answer a call of a thread of the app, since nothing is run any more."""
        call.is_answered = True
        headers = call.model.headers
        call.done(unavailable("this server is stopping", headers), "stopped")
        self._note_unrun(call, "stopped")

    def _submitted_done(
        self, call: Call, done: Done, reply: Reply, outcome: str
    ) -> None:
        """Count a call that Flask carries; its time is counted with its route."""
        self._submitted.discard(call)
        call.model.measures.requests[outcome] += 1
        done(reply, outcome)

    def _make_queue(self, model: ServedModel) -> Queue:
        queue = Queue(
            model,
            Threads(PARALLEL, model.release),
            ahead_max=self._limits.batches_ahead_max,
            rows_max=self._limits.batch_rows_max,
            note=self._note,
        )
        if model in self._served:
            self._queues[model] = queue
        return queue

    def _rebuild(self) -> None:
        """Route to what is served now; forget other models' queues.

        What stands in those is answered all the same.
        """
        self._routes = self._build_routes()
        self._served = _models_of(self._routes)
        for model in self._queues.keys() - self._served:
            del self._queues[model]

    # Threads.

    def _in_thread(self, client: Client, head: Head, job: Callable[[], Reply]) -> None:
        """Have the app answer, or say at once that too many wait for it."""
        begun_s = time.perf_counter()

        def refuse(_error: BaseException) -> None:
            self._reply(client, head, "other", unavailable(_TOO_MANY), 0.0)

        def send(reply: Reply) -> None:
            elapsed_s = time.perf_counter() - begun_s
            self._reply(client, head, "other", reply, elapsed_s)

        self._app_threads.do(job, send, refuse)

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


def _models_of(routes: Mapping[Key, Route]) -> set[ServedModel]:
    return {route.model for route in routes.values() if isinstance(route, Infer)}


def _overloaded(exchange: Exchange) -> Refused:
    return unavailable(_TOO_MANY, exchange.route.model.headers), "overloaded"
