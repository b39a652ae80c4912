"""Messages: published to the subscriptions of a topic, kept until all have ended.

Every function works inside of the transaction that its caller holds; `now` is
Unix time in seconds.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from google.pubsub_v1 import types

from local_cloud.pubsub import catalogue
from local_cloud.pubsub.filters import parse_filter


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
    catalogue.get_topic(connection, topic_name)
    subscriptions = catalogue.subscriptions_of(connection, topic_name)
    return [_append(connection, message, subscriptions, now) for message in messages]


def load_message(
    connection: sqlite3.Connection, message_id: int
) -> types.PubsubMessage:
    """Return a message that some subscription still holds."""
    (body,) = connection.execute(
        "SELECT body FROM messages WHERE id = ?", (message_id,)
    ).fetchone()
    message: types.PubsubMessage = types.PubsubMessage.deserialize(bytes(body))
    return message


def end_delivery(
    connection: sqlite3.Connection, subscription: str, message_id: int
) -> None:
    """End one delivery, and forget the message when it was the last."""
    connection.execute(
        "DELETE FROM deliveries WHERE subscription = ? AND message_id = ?",
        (subscription, message_id),
    )
    connection.execute(
        "DELETE FROM messages WHERE id = ? AND NOT EXISTS"
        " (SELECT 1 FROM deliveries WHERE message_id = ?)",
        (message_id, message_id),
    )


def published_text(message: types.PubsubMessage) -> str:
    """Return when a message was published, as Google writes it: to the millisecond."""
    publish_time = types.PubsubMessage.pb(message).publish_time
    return str(publish_time.ToDatetime().isoformat(timespec="milliseconds")) + "Z"


def _append(
    connection: sqlite3.Connection,
    message: types.PubsubMessage,
    subscriptions: Sequence[types.Subscription],
    now: float,
) -> int:
    message_id = _new_id(connection)
    message.message_id = str(message_id)
    publish_time = types.PubsubMessage.pb(message).publish_time
    publish_time.FromDatetime(datetime.fromtimestamp(now, UTC))
    admitted = [
        each for each in subscriptions if parse_filter(each.filter)(message.attributes)
    ]
    connection.execute(
        "INSERT INTO messages (id, published_at, body) VALUES (?, ?, ?)",
        (message_id, now, types.PubsubMessage.serialize(message)),
    )
    for each in admitted:
        key = message.ordering_key if each.enable_message_ordering else ""
        connection.execute(
            "INSERT INTO deliveries VALUES (?, ?, ?, 0, 0, ?)",
            (each.name, message_id, key, now),
        )
    if not admitted:
        connection.execute("DELETE FROM messages WHERE id = ?", (message_id,))
    return message_id


def _new_id(connection: sqlite3.Connection) -> int:
    """Return an id above all that were given, a deleted data folder's too."""
    row = connection.execute(
        "SELECT seq FROM sqlite_sequence WHERE name = 'messages'"
    ).fetchone()
    return max(row[0] + 1 if row else 1, time.time_ns() // 1000)
