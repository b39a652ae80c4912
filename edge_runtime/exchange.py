"""An inference, and the connection that waits for its answer."""

import time
from dataclasses import dataclass
from typing import Protocol

from edge_runtime.counts import Counts
from edge_runtime.http.head import Head
from edge_runtime.http.replies import Body, Reply
from edge_runtime.routes import Infer

LONG_JSON_BYTES = 4 * 1024**2
"""Four milliseconds. Shorter ones gain nothing by a thread: the parser holds the
interpreter's lock, and the hop costs a tenth of a millisecond and more."""


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
        """Send the answer, then count the inference: nobody waits for that."""
        elapsed_s = time.perf_counter() - self.arrived_s
        self.client.answer(reply, self.head)
        measures = self.route.model.measures
        measures.requests[outcome] += 1
        measures.last_at_s = now_s = time.time()
        if outcome == "ok":
            measures.recent_ms.add(now_s, 1000.0 * elapsed_s)
        self.counts.add(self.route.name, reply.status, elapsed_s)


def takes_long(head: Head, body: Body) -> bool:
    """Say whether reading the body would keep other clients waiting."""
    envelope = head.envelope
    json_bytes = len(body) if envelope.json_bytes is None else envelope.json_bytes
    return json_bytes > LONG_JSON_BYTES or envelope.body_coding != ""
