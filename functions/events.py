"""Decode a Pub/Sub message from the three shapes in which it arrives.

Eventarc sends the message with its subscription; a push subscription's raw
body loses the subscription and gains `@type` when functions-framework turns it
into a CloudEvent; and a raw body may name its ids in camelCase, in snake_case
or in both. What the message's data means is left to each function.

Source: docs/protocol.md, 9 "Notices and events"; Cloud Pub/Sub, "Push subscriptions".
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cloudevents.http import CloudEvent

from packhorse.errors import MalformedError

MESSAGE_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"


@dataclass(frozen=True, slots=True)
class Message:
    """One Pub/Sub message.

    Attributes:
        id: Names the delivery in logs; never used to recognise a duplicate,
            because the same push to the registry may come with another id.
        data: The body, decoded from base64.
        attributes: What the publisher attached.
        published_at: When Pub/Sub took it (UTC), however often it was delivered.
        delivery_attempt: From 1; 0 when the subscription does not count.
    """

    id: str
    data: bytes
    published_at: datetime
    attributes: Mapping[str, str] = field(default_factory=dict)
    delivery_attempt: int = 0


def decode_message(cloud_event: CloudEvent) -> Message:
    """Read the Pub/Sub message out of a CloudEvent.

    Raises:
        MalformedError: The event is no Pub/Sub message, or contradicts itself.
    """
    if cloud_event["type"] != MESSAGE_PUBLISHED:
        raise MalformedError(
            f"expected an event of type {MESSAGE_PUBLISHED}, "
            f"got {str(cloud_event['type'])[:100]!r}"
        )
    outer = _mapping(cloud_event.data, "event")
    inner = _mapping(outer.get("message"), "event's message")
    return Message(
        id=_either(inner, "messageId", "message_id") or str(cloud_event["id"]),
        data=_decode_data(inner.get("data") or ""),
        published_at=_published_at(inner, cloud_event),
        attributes=_attributes(inner.get("attributes") or {}),
        delivery_attempt=_attempt(outer.get("deliveryAttempt", 0)),
    )


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise MalformedError(f"the {what} must be an object, got {_kind(value)}")
    return value


def _either(inner: Mapping[str, object], camel: str, snake: str) -> str:
    value = inner.get(camel) or inner.get(snake) or ""
    return value if isinstance(value, str) else ""


def _decode_data(value: object) -> bytes:
    if not isinstance(value, str):
        raise MalformedError(f"a message's data must be base64, got {_kind(value)}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("a message's data must be base64") from error


def _published_at(inner: Mapping[str, object], cloud_event: CloudEvent) -> datetime:
    text = _either(inner, "publishTime", "publish_time") or str(
        cloud_event.get_attributes().get("time") or ""
    )
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedError(
            f"a message's publishTime must be RFC 3339, got {text[:40]!r}"
        ) from error
    # Times without a zone are UTC in Google's own bodies.
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def _attributes(value: object) -> Mapping[str, str]:
    mapping = _mapping(value, "message's attributes")
    return {str(key): str(entry) for key, entry in mapping.items()}


def _attempt(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
