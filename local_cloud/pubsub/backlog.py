"""Messages on their way: published, leased, acknowledged, failed, dead.

A delivery waits until it is due, is leased for as long as the ack deadline,
and ends with an acknowledgement. A lease that runs out is a failed attempt,
like a nack: the message is due again after the subscription's backoff, or goes
to the dead letter topic when it has had its attempts. Deliveries with an
ordering key are leased one at a time for each key.

Every function works inside of the transaction that its caller holds; `now` is
Unix time in seconds.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from google.pubsub_v1 import types

from local_cloud.pubsub import catalogue, names, rules
from local_cloud.pubsub.ack_ids import AckId
from local_cloud.pubsub.errors import NotFoundError
from local_cloud.pubsub.filters import parse_filter

DEAD_LETTER = "CloudPubSubDeadLetterSource"
"""What the attributes that Google adds to a dead letter begin with."""


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
ORDER BY message_id LIMIT ?
"""


def publish(
    connection: sqlite3.Connection,
    topic_name: str,
    messages: Iterable[types.PubsubMessage],
    now: float,
) -> list[int]:
    """Hand messages to every subscription of a topic whose filter they pass.

    Returns:
        The message ids, in the order of `messages`.
    """
    catalogue.topic(connection, topic_name)
    subscriptions = catalogue.subscriptions_of(connection, topic_name)
    return [_append(connection, message, subscriptions, now) for message in messages]


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
    deliveries = []
    size = 0
    for message_id, attempts in rows:
        message = _message(connection, message_id)
        size += len(message.data)
        if deliveries and size > rules.PUBLISH_MAX_BYTES:
            break
        _set(connection, subscription.name, message_id, attempts + 1, now + deadline_s)
        deliveries.append(Delivery(AckId(message_id, attempts + 1), message))
    return deliveries


def acknowledge(
    connection: sqlite3.Connection, subscription: types.Subscription, acks: Iterable[AckId]
) -> None:
    """End deliveries. One that was given to another meanwhile ends all the same."""
    for ack in acks:
        _drop(connection, subscription.name, ack.message_id)


def extend(
    connection: sqlite3.Connection,
    subscription: types.Subscription,
    acks: Iterable[AckId],
    until: float,
) -> None:
    """Move the end of leases that still run."""
    for ack in acks:
        connection.execute(
            "UPDATE deliveries SET due_at = ? WHERE subscription = ? AND message_id = ?"
            " AND attempts = ? AND leased = 1",
            (until, subscription.name, ack.message_id, ack.attempt),
        )


def fail(
    connection: sqlite3.Connection,
    subscription: types.Subscription,
    acks: Iterable[AckId],
    now: float,
) -> None:
    """Count attempts that still run as failed; the last one makes a dead letter."""
    for ack in acks:
        row = connection.execute(
            "SELECT 1 FROM deliveries WHERE subscription = ? AND message_id = ?"
            " AND attempts = ? AND leased = 1",
            (subscription.name, ack.message_id, ack.attempt),
        ).fetchone()
        if row is not None:
            _fail_one(connection, subscription, ack, now)


def put_back(
    connection: sqlite3.Connection, subscription: types.Subscription, ack: AckId, due_at: float
) -> None:
    """Undo a lease: nothing was attempted, through no fault of the subscriber."""
    connection.execute(
        "UPDATE deliveries SET attempts = attempts - 1, leased = 0, due_at = ?"
        " WHERE subscription = ? AND message_id = ? AND attempts = ? AND leased = 1",
        (due_at, subscription.name, ack.message_id, ack.attempt),
    )


def end_leases(
    connection: sqlite3.Connection, subscription: types.Subscription, now: float
) -> None:
    """Count leases that have run out as failed attempts."""
    rows = connection.execute(
        "SELECT message_id, attempts, due_at FROM deliveries"
        " WHERE subscription = ? AND leased = 1 AND due_at <= ?",
        (subscription.name, now),
    ).fetchall()
    for message_id, attempts, ended_at in rows:
        _fail_one(connection, subscription, AckId(message_id, attempts), ended_at)


def drop_old(connection: sqlite3.Connection, subscription: types.Subscription, now: float) -> None:
    """Forget messages that are older than the subscription keeps them."""
    rows = connection.execute(
        "SELECT message_id FROM deliveries JOIN messages ON messages.id = message_id"
        " WHERE subscription = ? AND published_at < ?",
        (subscription.name, now - rules.retention_s(subscription)),
    ).fetchall()
    for (message_id,) in rows:
        _drop(connection, subscription.name, message_id)


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


def _append(
    connection: sqlite3.Connection,
    message: types.PubsubMessage,
    subscriptions: Sequence[types.Subscription],
    now: float,
) -> int:
    message_id = _new_id(connection)
    message.message_id = str(message_id)
    message.publish_time = datetime.fromtimestamp(now, UTC)
    admitted = [each for each in subscriptions if parse_filter(each.filter)(message.attributes)]
    if admitted:
        connection.execute(
            "INSERT INTO messages (id, published_at, body) VALUES (?, ?, ?)",
            (message_id, now, types.PubsubMessage.serialize(message)),
        )
    for each in admitted:
        key = message.ordering_key if each.enable_message_ordering else ""
        connection.execute(
            "INSERT INTO deliveries VALUES (?, ?, ?, 0, 0, ?)", (each.name, message_id, key, now)
        )
    return message_id


def _new_id(connection: sqlite3.Connection) -> int:
    """Return an id above all that are kept, and above those of an earlier data folder."""
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM messages").fetchone()
    return max(int(last) + 1, time.time_ns() // 1000)


def _fail_one(
    connection: sqlite3.Connection, subscription: types.Subscription, ack: AckId, at: float
) -> None:
    limit = rules.max_attempts(subscription)
    if limit is not None and ack.attempt >= limit and _bury(connection, subscription, ack, at):
        return
    due_at = at + rules.backoff_s(subscription, ack.attempt)
    connection.execute(
        "UPDATE deliveries SET leased = 0, due_at = ? WHERE subscription = ? AND message_id = ?",
        (due_at, subscription.name, ack.message_id),
    )


def _bury(
    connection: sqlite3.Connection, subscription: types.Subscription, ack: AckId, now: float
) -> bool:
    """Forward a dead letter; without its topic it stays, as at Google."""
    message = _message(connection, ack.message_id)
    published_at = message.publish_time.isoformat(timespec="milliseconds")
    message.attributes[f"{DEAD_LETTER}DeliveryCount"] = str(ack.attempt)
    message.attributes[f"{DEAD_LETTER}Subscription"] = names.id_of(subscription.name)
    message.attributes[f"{DEAD_LETTER}SubscriptionProject"] = names.project_of(subscription.name)
    message.attributes[f"{DEAD_LETTER}TopicPublishTime"] = published_at
    try:
        publish(connection, subscription.dead_letter_policy.dead_letter_topic, [message], now)
    except NotFoundError:
        return False
    _drop(connection, subscription.name, ack.message_id)
    return True


def _message(connection: sqlite3.Connection, message_id: int) -> types.PubsubMessage:
    (body,) = connection.execute(
        "SELECT body FROM messages WHERE id = ?", (message_id,)
    ).fetchone()
    return types.PubsubMessage.deserialize(bytes(body))


def _set(
    connection: sqlite3.Connection, subscription: str, message_id: int, attempts: int, until: float
) -> None:
    connection.execute(
        "UPDATE deliveries SET leased = 1, attempts = ?, due_at = ?"
        " WHERE subscription = ? AND message_id = ?",
        (attempts, until, subscription, message_id),
    )


def _drop(connection: sqlite3.Connection, subscription: str, message_id: int) -> None:
    connection.execute(
        "DELETE FROM deliveries WHERE subscription = ? AND message_id = ?",
        (subscription, message_id),
    )
    connection.execute(
        "DELETE FROM messages WHERE id = ? AND NOT EXISTS"
        " (SELECT 1 FROM deliveries WHERE message_id = ?)",
        (message_id, message_id),
    )
