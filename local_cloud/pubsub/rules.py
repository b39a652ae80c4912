"""What a topic, a subscription and a message may look like.

Fields outside of these rules are refused by name: Google would honour them,
this stand-in would not.

Source: pubsub.proto; cloud.google.com/pubsub/quotas
"""

from collections.abc import Iterable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.pubsub_v1 import types

from local_cloud.pubsub import names
from local_cloud.pubsub.errors import InvalidArgumentError, UnknownFeatureError
from local_cloud.pubsub.filters import parse_filter

PUBLISH_MAX_BYTES = 10_000_000
PUBLISH_MAX_MESSAGES = 1000
ATTRIBUTES_MAX = 100
KEY_MAX_BYTES = 256
VALUE_MAX_BYTES = 1024
ORDERING_KEY_MAX_BYTES = 1024

ACK_DEADLINES_S = range(10, 601)
DEFAULT_ACK_DEADLINE_S = 10
DELIVERY_ATTEMPTS = range(5, 101)
DEFAULT_DELIVERY_ATTEMPTS = 5
BACKOFF_MAX_S = 600.0
DEFAULT_MIN_BACKOFF_S = 10.0
DEFAULT_MAX_BACKOFF_S = 600.0
RETENTION_MIN_S = 600.0
RETENTION_MAX_S = 31 * 86400.0
DEFAULT_RETENTION_S = 7 * 86400

_TOPIC_FIELDS = {"name", "labels", "message_storage_policy"}
_SUBSCRIPTION_FIELDS = {
    "name",
    "topic",
    "push_config",
    "ack_deadline_seconds",
    "message_retention_duration",
    "labels",
    "enable_message_ordering",
    "expiration_policy",
    "filter",
    "dead_letter_policy",
    "retry_policy",
}
_PUSH_FIELDS = {"push_endpoint", "attributes", "oidc_token", "pubsub_wrapper"}


class _ProtoPlus(Protocol):
    """What a proto-plus message lends us: its class knows the plain one."""

    @classmethod
    def pb(cls, message: object) -> Message: ...


def check_new_topic(topic: types.Topic) -> None:
    """Refuse a topic that Google, or this stand-in, would not make."""
    names.check_topic(topic.name)
    _refuse_others(topic, _TOPIC_FIELDS)


def check_new_subscription(subscription: types.Subscription) -> None:
    """Refuse a subscription that Google, or this stand-in, would not make."""
    names.check_subscription(subscription.name)
    names.check_topic(subscription.topic)
    check_subscription(subscription)


def check_subscription(subscription: types.Subscription) -> None:
    """Refuse settings that cannot be, and fill in Google's defaults."""
    _refuse_others(subscription, _SUBSCRIPTION_FIELDS)
    subscription.ack_deadline_seconds = (
        subscription.ack_deadline_seconds or DEFAULT_ACK_DEADLINE_S
    )
    check_deadline(subscription.ack_deadline_seconds)
    parse_filter(subscription.filter)
    check_push_config(subscription.push_config)
    _check_dead_letter_policy(subscription)
    _check_retry_policy(subscription)
    _check_retention(subscription)


def check_deadline(seconds: int) -> None:
    """Refuse an ack deadline outside of 10 to 600 s."""
    _check_range(seconds, ACK_DEADLINES_S, "ack_deadline_seconds")


def check_push_config(config: types.PushConfig) -> None:
    """Refuse a push that this stand-in cannot make; an empty one means pull."""
    _refuse_others(config, _PUSH_FIELDS)
    if not config.push_endpoint:
        return
    url = urlsplit(config.push_endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise InvalidArgumentError(
            "push_endpoint: expected http(s)://HOST/...,"
            f" got {config.push_endpoint[:300]!r}"
        )
    if config.attributes.get("x-goog-version", "v1") != "v1":
        raise UnknownFeatureError(
            "push_config.attributes: this stand-in pushes x-goog-version v1"
        )
    if "oidc_token" in config and not config.oidc_token.service_account_email:
        raise InvalidArgumentError(
            "push_config.oidc_token: service_account_email is missing"
        )


def check_messages(messages: Sequence[types.PubsubMessage]) -> None:
    """Refuse a publish request that breaks one of Google's limits."""
    if not 1 <= len(messages) <= PUBLISH_MAX_MESSAGES:
        raise InvalidArgumentError(
            f"expected 1 to {PUBLISH_MAX_MESSAGES} messages in a request,"
            f" got {len(messages)}"
        )
    size = sum(types.PubsubMessage.pb(message).ByteSize() for message in messages)
    if size > PUBLISH_MAX_BYTES:
        raise InvalidArgumentError(
            f"expected at most {PUBLISH_MAX_BYTES} bytes in a request, got {size}"
        )
    for message in messages:
        _check_message(message)


def backoff_s(subscription: types.Subscription, attempts: int) -> float:
    """Return the time between a failed attempt and the next, in seconds.

    Without a retry policy the next attempt may follow at once.
    """
    if "retry_policy" not in subscription:
        return 0.0
    shortest, longest = _backoffs_s(subscription)
    # 2**30 is beyond every limit: it only keeps the power small.
    return min(longest, shortest * 2.0 ** min(attempts - 1, 30))


def max_attempts(subscription: types.Subscription) -> int | None:
    """Return after how many failed attempts a message is a dead letter, if ever."""
    if "dead_letter_policy" not in subscription:
        return None
    return (
        subscription.dead_letter_policy.max_delivery_attempts
        or DEFAULT_DELIVERY_ATTEMPTS
    )


def retention_s(subscription: types.Subscription) -> float:
    """Return how long an unacknowledged message is kept, in seconds."""
    return _seconds(subscription, "message_retention_duration", DEFAULT_RETENTION_S)


def _check_message(message: types.PubsubMessage) -> None:
    if not message.data and not message.attributes:
        raise InvalidArgumentError("a message needs data or at least one attribute")
    if len(message.attributes) > ATTRIBUTES_MAX:
        raise InvalidArgumentError(
            f"expected at most {ATTRIBUTES_MAX} attributes,"
            f" got {len(message.attributes)}"
        )
    _check_texts(message.attributes.keys(), KEY_MAX_BYTES, "attribute key")
    _check_texts(message.attributes.values(), VALUE_MAX_BYTES, "attribute value")
    _check_texts([message.ordering_key], ORDERING_KEY_MAX_BYTES, "ordering key")
    if any(not key or key.startswith("goog") for key in message.attributes):
        raise InvalidArgumentError(
            "attribute keys are not empty and do not start with goog"
        )


def _check_texts(texts: Iterable[str], limit_bytes: int, what: str) -> None:
    for text in texts:
        if len(text.encode()) > limit_bytes:
            raise InvalidArgumentError(
                f"{what}: expected at most {limit_bytes} bytes,"
                f" got {len(text.encode())}"
            )


def _check_dead_letter_policy(subscription: types.Subscription) -> None:
    if "dead_letter_policy" not in subscription:
        return
    policy = subscription.dead_letter_policy
    names.check_topic(policy.dead_letter_topic)
    policy.max_delivery_attempts = (
        policy.max_delivery_attempts or DEFAULT_DELIVERY_ATTEMPTS
    )
    _check_range(
        policy.max_delivery_attempts, DELIVERY_ATTEMPTS, "max_delivery_attempts"
    )


def _check_retry_policy(subscription: types.Subscription) -> None:
    shortest, longest = _backoffs_s(subscription)
    if not 0 <= shortest <= longest <= BACKOFF_MAX_S:
        raise InvalidArgumentError(
            "retry_policy: expected 0 <= minimum_backoff <= maximum_backoff"
            f" <= {BACKOFF_MAX_S:g} s, got {shortest:g} and {longest:g}"
        )


def _check_retention(subscription: types.Subscription) -> None:
    if "message_retention_duration" not in subscription:
        plain = types.Subscription.pb(subscription)
        plain.message_retention_duration.FromSeconds(DEFAULT_RETENTION_S)
    if not RETENTION_MIN_S <= retention_s(subscription) <= RETENTION_MAX_S:
        raise InvalidArgumentError(
            f"message_retention_duration: expected {RETENTION_MIN_S:g} to"
            f" {RETENTION_MAX_S:g} s, got {retention_s(subscription):g}"
        )


def _backoffs_s(subscription: types.Subscription) -> tuple[float, float]:
    policy = subscription.retry_policy
    longest = _seconds(policy, "maximum_backoff", DEFAULT_MAX_BACKOFF_S)
    return _seconds(
        policy, "minimum_backoff", min(DEFAULT_MIN_BACKOFF_S, longest)
    ), longest


def _seconds(message: _ProtoPlus, field: str, default: float) -> float:
    plain = type(message).pb(message)
    if not plain.HasField(field):
        return default
    duration: Duration = getattr(plain, field)
    return float(duration.seconds + duration.nanos / 1e9)


def _check_range(value: int, allowed: range, what: str) -> None:
    if value not in allowed:
        raise InvalidArgumentError(
            f"{what}: expected {allowed[0]} to {allowed[-1]}, got {value}"
        )


def _refuse_others(message: _ProtoPlus, known: set[str]) -> None:
    fields = type(message).pb(message).ListFields()
    unknown = sorted(field.name for field, _ in fields if field.name not in known)
    if unknown:
        raise UnknownFeatureError(
            f"this stand-in does not know {', '.join(unknown)}"
            f" of {type(message).__name__}"
        )
