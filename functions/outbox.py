"""Publish what the ledger committed, before a function answers.

A function has no CPU after its response, so events leave before it. What a
crash or an outage keeps back is found by the next call, or by `sweep_ledger`.
An event may leave twice; every stage can be repeated.
"""

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from functions.adapters.pubsub import Event
from functions.errors import UpstreamError

if TYPE_CHECKING:
    from functions.adapters.ledger import Ledger
    from functions.adapters.pubsub import Publisher

BATCH_EVENTS = 200
"""Events read at once; Pub/Sub takes 1,000 in one request."""


def flush(ledger: "Ledger", publisher: "Publisher") -> int:
    """Publish every pending event, oldest first within its topic.

    A topic that fails does not hold the others back.

    Returns:
        How many events left.

    Raises:
        UpstreamError: What a topic failed with, once the others were tried.
    """
    sent, last_id = 0, 0
    failure: UpstreamError | None = None
    while pending := ledger.pending_events(BATCH_EVENTS, after_id=last_id):
        last_id = pending[-1].id
        by_topic = sorted(pending, key=attrgetter("topic"))
        for topic, group in groupby(by_topic, key=attrgetter("topic")):
            events = list(group)
            try:
                publisher.publish_all(Event(topic, event.body) for event in events)
            except UpstreamError as error:
                failure = failure or error
                continue
            ledger.mark_sent([event.id for event in events])
            sent += len(events)
    if failure is not None:
        raise failure
    return sent
