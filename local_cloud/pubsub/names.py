"""Names of topics and subscriptions.

Source: pubsub.proto, `Topic.name` and `Subscription.name`
"""

import re

from local_cloud.pubsub.errors import InvalidArgumentError

DELETED_TOPIC = "_deleted-topic_"
"""What a subscription shows as its topic once the topic is gone."""

_ID = r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
_PROJECT = r"[a-z0-9][a-z0-9.:-]{0,62}"
_TOPIC = re.compile(rf"projects/{_PROJECT}/topics/{_ID}")
_SUBSCRIPTION = re.compile(rf"projects/{_PROJECT}/subscriptions/{_ID}")
_PARENT = re.compile(rf"projects/{_PROJECT}")
_RULES = (
    "an id starts with a letter, has 3 to 255 of [A-Za-z0-9._~+%-],"
    " and never starts with goog"
)


def check_topic(name: str) -> str:
    """Return `name` if it can name a topic."""
    return _check(_TOPIC, name, "projects/PROJECT/topics/ID")


def check_subscription(name: str) -> str:
    """Return `name` if it can name a subscription."""
    return _check(_SUBSCRIPTION, name, "projects/PROJECT/subscriptions/ID")


def check_project(name: str) -> str:
    """Return `name` if it can name a project."""
    return _check(_PARENT, name, "projects/PROJECT")


def project_of(name: str) -> str:
    """Return the bare project id in a resource name."""
    return name.split("/")[1]


def id_of(name: str) -> str:
    """Return the last part of a resource name."""
    return name.rsplit("/", 1)[-1]


def _check(pattern: re.Pattern[str], name: str, shape: str) -> str:
    if not pattern.fullmatch(name):
        raise InvalidArgumentError(f"expected {shape} ({_RULES}), got {name[:300]!r}")
    return name
