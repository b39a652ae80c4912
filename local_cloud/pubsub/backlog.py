"""What a subscription holds: what is due, and who has it.

A delivery waits until it is due and is leased for as long as the ack deadline;
`outcomes.py` ends it. Deliveries with an ordering key are leased one at a time
for each key.

Every function works inside of the transaction that its caller holds; `now` is
Unix time in seconds.
"""

import sqlite3
from typing import NamedTuple

from google.pubsub_v1 import types

from local_cloud.pubsub import rules
from local_cloud.pubsub.ack_ids import AckId
from local_cloud.pubsub.messages import end_delivery, load_message
from local_cloud.pubsub.outcomes import end_leases


class Delivery(NamedTuple):
    """One leased message."""

    ack: AckId
    message: types.PubsubMessage


_DUE = """
SELECT message_id, attempts FROM deliveries AS mine
WHERE subscription = ? AND leased = 0 AND due_at <= ?
  AND (ordering_key = '' OR NOT EXISTS (
    SELECT 1 FROM deliveries AS earlier
    WHERE earlier.subscription = mine.subscription
      AND earlier.ordering_key = mine.ordering_key
      AND earlier.message_id < mine.message_id))
ORDER BY due_at, message_id LIMIT ?
"""


def lease(
    connection: sqlite3.Connection,
    subscription: types.Subscription,
    *,
    limit: int,
    deadline_s: float,
    now: float,
) -> list[Delivery]:
    """Take up to `limit` messages that are due, oldest first."""
    end_leases(connection, subscription, now)
    rows = connection.execute(_DUE, (subscription.name, now, limit)).fetchall()
    deliveries: list[Delivery] = []
    size = 0
    for message_id, attempts in rows:
        message = load_message(connection, message_id)
        size += len(message.data)
        if deliveries and size > rules.PUBLISH_MAX_BYTES:
            break
        _set(connection, subscription.name, message_id, attempts + 1, now + deadline_s)
        deliveries.append(Delivery(AckId(message_id, attempts + 1), message))
    return deliveries


def leased(connection: sqlite3.Connection, subscription_name: str) -> set[AckId]:
    """Return the deliveries that subscribers have now."""
    rows = connection.execute(
        "SELECT message_id, attempts FROM deliveries"
        " WHERE subscription = ? AND leased = 1",
        (subscription_name,),
    )
    return {AckId(*row) for row in rows.fetchall()}


def next_due_at(connection: sqlite3.Connection, subscription_name: str) -> float | None:
    """Return when the next delivery is due or the next lease ends, if ever.

    One that is due but waits for another of its ordering key does not count:
    the end of the other wakes whoever waits.
    """
    row = connection.execute(
        "SELECT min(due_at) FROM deliveries AS mine WHERE subscription = ?"
        " AND (leased = 1 OR ordering_key = '' OR NOT EXISTS ("
        "  SELECT 1 FROM deliveries AS earlier"
        "  WHERE earlier.subscription = mine.subscription"
        "    AND earlier.ordering_key = mine.ordering_key"
        "    AND earlier.message_id < mine.message_id))",
        (subscription_name,),
    ).fetchone()
    return None if row[0] is None else float(row[0])


def drop_old(
    connection: sqlite3.Connection, subscription: types.Subscription, now: float
) -> None:
    """Forget messages that are older than the subscription keeps them."""
    rows = connection.execute(
        "SELECT message_id FROM deliveries JOIN messages ON messages.id = message_id"
        " WHERE subscription = ? AND published_at < ?",
        (subscription.name, now - rules.retention_s(subscription)),
    ).fetchall()
    for (message_id,) in rows:
        end_delivery(connection, subscription.name, message_id)


def _set(
    connection: sqlite3.Connection,
    subscription: str,
    message_id: int,
    attempts: int,
    until: float,
) -> None:
    connection.execute(
        "UPDATE deliveries SET leased = 1, attempts = ?, due_at = ?"
        " WHERE subscription = ? AND message_id = ?",
        (attempts, until, subscription, message_id),
    )
