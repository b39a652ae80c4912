"""Topics and subscriptions: made, shown, listed, changed, deleted.

Every function works inside of the transaction that its caller holds.
"""

import sqlite3

from google.pubsub_v1 import types

from local_cloud.pubsub import names
from local_cloud.pubsub.errors import NotFoundError, TakenError

PAGE_MAX = 1000


def add_topic(connection: sqlite3.Connection, topic: types.Topic) -> None:
    """Keep a new topic."""
    if _body(connection, "topics", topic.name) is not None:
        raise TakenError(f"topic {topic.name} exists already")
    connection.execute(
        "INSERT INTO topics (name, body) VALUES (?, ?)",
        (topic.name, types.Topic.serialize(topic)),
    )


def get_topic(connection: sqlite3.Connection, name: str) -> types.Topic:
    """Return the topic of this name."""
    body = _body(connection, "topics", names.check_topic(name))
    if body is None:
        raise NotFoundError(f"there is no topic {name}")
    found: types.Topic = types.Topic.deserialize(body)
    return found


def remove_topic(connection: sqlite3.Connection, name: str) -> None:
    """Delete a topic; its subscriptions stay, with what they hold, cut off from it."""
    get_topic(connection, name)
    for subscription in subscriptions_of(connection, name):
        subscription.topic = names.DELETED_TOPIC
        save_subscription(connection, subscription)
    connection.execute("DELETE FROM topics WHERE name = ?", (name,))


def list_topics(
    connection: sqlite3.Connection, project: str, *, after: str, limit: int
) -> list[types.Topic]:
    """Return a project's topics by name, from the one behind `after` on."""
    rows = _page(
        connection, "topics", f"{names.check_project(project)}/topics/", after, limit
    )
    return [types.Topic.deserialize(body) for (body,) in rows]


def add_subscription(
    connection: sqlite3.Connection, subscription: types.Subscription
) -> None:
    """Keep a new subscription to a topic that is there."""
    get_topic(connection, subscription.topic)
    if subscription.dead_letter_policy.dead_letter_topic:
        get_topic(connection, subscription.dead_letter_policy.dead_letter_topic)
    if _body(connection, "subscriptions", subscription.name) is not None:
        raise TakenError(f"subscription {subscription.name} exists already")
    connection.execute(
        "INSERT INTO subscriptions (name, topic, body) VALUES (?, ?, ?)",
        (
            subscription.name,
            subscription.topic,
            types.Subscription.serialize(subscription),
        ),
    )


def get_subscription(connection: sqlite3.Connection, name: str) -> types.Subscription:
    """Return the subscription of this name."""
    body = _body(connection, "subscriptions", names.check_subscription(name))
    if body is None:
        raise NotFoundError(f"there is no subscription {name}")
    found: types.Subscription = types.Subscription.deserialize(body)
    return found


def save_subscription(
    connection: sqlite3.Connection, subscription: types.Subscription
) -> None:
    """Replace a subscription that is there."""
    connection.execute(
        "UPDATE subscriptions SET topic = ?, body = ? WHERE name = ?",
        (
            subscription.topic,
            types.Subscription.serialize(subscription),
            subscription.name,
        ),
    )


def remove_subscription(connection: sqlite3.Connection, name: str) -> None:
    """Delete a subscription and what it holds."""
    get_subscription(connection, name)
    connection.execute("DELETE FROM subscriptions WHERE name = ?", (name,))
    connection.execute("DELETE FROM deliveries WHERE subscription = ?", (name,))
    connection.execute(
        "DELETE FROM messages WHERE NOT EXISTS"
        " (SELECT 1 FROM deliveries WHERE message_id = messages.id)"
    )


def list_subscriptions(
    connection: sqlite3.Connection, project: str, *, after: str, limit: int
) -> list[types.Subscription]:
    """Return a project's subscriptions by name, from the one behind `after` on."""
    prefix = f"{names.check_project(project)}/subscriptions/"
    rows = _page(connection, "subscriptions", prefix, after, limit)
    return [types.Subscription.deserialize(body) for (body,) in rows]


def all_subscriptions(connection: sqlite3.Connection) -> list[types.Subscription]:
    """Return the subscriptions of all projects."""
    rows = connection.execute("SELECT body FROM subscriptions ORDER BY name")
    return [types.Subscription.deserialize(body) for (body,) in rows.fetchall()]


def subscriptions_of(
    connection: sqlite3.Connection, topic_name: str
) -> list[types.Subscription]:
    """Return a topic's subscriptions by name."""
    rows = connection.execute(
        "SELECT body FROM subscriptions WHERE topic = ? ORDER BY name", (topic_name,)
    )
    return [types.Subscription.deserialize(body) for (body,) in rows.fetchall()]


def _body(connection: sqlite3.Connection, table: str, name: str) -> bytes | None:
    # `table` is one of two words of this module, never a caller's.
    row = connection.execute(
        f"SELECT body FROM {table} WHERE name = ?",  # noqa: S608
        (name,),
    ).fetchone()
    return None if row is None else bytes(row[0])


def _page(
    connection: sqlite3.Connection, table: str, prefix: str, after: str, limit: int
) -> list[tuple[bytes]]:
    return connection.execute(
        f"SELECT body FROM {table} WHERE substr(name, 1, ?) = ? AND name > ?"  # noqa: S608
        " ORDER BY name LIMIT ?",
        (len(prefix), prefix, after, min(limit, PAGE_MAX)),
    ).fetchall()
