"""How deliveries end: acknowledged, failed, or as dead letters.

A lease that runs out is a failed attempt, like a nack: the message is due again
after the subscription's backoff, or goes to the dead letter topic when it has
had its attempts.

Every function works inside of the transaction that its caller holds; `now` is
Unix time in seconds.
"""

import sqlite3
from collections.abc import Iterable

from google.pubsub_v1 import types

from local_cloud.pubsub import names, rules
from local_cloud.pubsub.ack_ids import AckId
from local_cloud.pubsub.errors import NotFoundError
from local_cloud.pubsub.messages import (
    end_delivery,
    load_message,
    publish,
    published_text,
)

DEAD_LETTER = "CloudPubSubDeadLetterSource"
"""What the attributes that Google adds to a dead letter begin with."""


def acknowledge(
    connection: sqlite3.Connection,
    subscription: types.Subscription,
    acks: Iterable[AckId],
) -> None:
    """End deliveries. One that was given to another meanwhile ends all the same."""
    for ack in acks:
        end_delivery(connection, subscription.name, ack.message_id)


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
    connection: sqlite3.Connection,
    subscription: types.Subscription,
    ack: AckId,
    due_at: float,
) -> None:
    """Undo a lease: nothing was attempted, through no fault of the subscriber."""
    connection.execute(
        "UPDATE deliveries SET attempts = attempts - 1, leased = 0, due_at = ?"
        " WHERE subscription = ? AND message_id = ? AND attempts = ? AND leased = 1",
        (due_at, subscription.name, ack.message_id, ack.attempt),
    )


def put_back_all(
    connection: sqlite3.Connection, subscription: types.Subscription
) -> None:
    """Undo every lease of a push subscription, when this server had ended meanwhile.

    The requests ended with it, so nobody is left to answer for these leases.
    """
    connection.execute(
        "UPDATE deliveries SET attempts = attempts - 1, leased = 0, due_at = 0"
        " WHERE subscription = ? AND leased = 1",
        (subscription.name,),
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


def _fail_one(
    connection: sqlite3.Connection,
    subscription: types.Subscription,
    ack: AckId,
    at: float,
) -> None:
    limit = rules.max_attempts(subscription)
    if (
        limit is not None
        and ack.attempt >= limit
        and _bury(connection, subscription, ack, at)
    ):
        return
    due_at = at + rules.backoff_s(subscription, ack.attempt)
    connection.execute(
        "UPDATE deliveries SET leased = 0, due_at = ?"
        " WHERE subscription = ? AND message_id = ?",
        (due_at, subscription.name, ack.message_id),
    )


def _bury(
    connection: sqlite3.Connection,
    subscription: types.Subscription,
    ack: AckId,
    now: float,
) -> bool:
    """Forward a dead letter; without its topic it stays, as at Google."""
    message = load_message(connection, ack.message_id)
    published_at = published_text(message)
    message.attributes[f"{DEAD_LETTER}DeliveryCount"] = str(ack.attempt)
    message.attributes[f"{DEAD_LETTER}Subscription"] = names.id_of(subscription.name)
    message.attributes[f"{DEAD_LETTER}SubscriptionProject"] = names.project_of(
        subscription.name
    )
    message.attributes[f"{DEAD_LETTER}TopicPublishTime"] = published_at
    try:
        publish(
            connection,
            subscription.dead_letter_policy.dead_letter_topic,
            [message],
            now,
        )
    except NotFoundError:
        return False
    end_delivery(connection, subscription.name, ack.message_id)
    return True
