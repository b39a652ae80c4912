"""One decoder reads all three shapes in which a message arrives."""

import base64
from datetime import UTC, datetime

import pytest
from cloudevents.http import CloudEvent

from functions.events import MESSAGE_PUBLISHED, decode_message
from packhorse.errors import MalformedError

TIME = "2026-11-22T12:00:00.123Z"
AT = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)
DATA = base64.b64encode(b'{"a":1}').decode()


def event(data, kind=MESSAGE_PUBLISHED, **attributes):
    return CloudEvent(
        {"type": kind, "source": "//pubsub.googleapis.com/", "id": "9", **attributes},
        data,
    )


EVENTARC = {
    "subscription": "projects/p/subscriptions/s",
    "message": {
        "data": DATA,
        "attributes": {"k": "v"},
        "messageId": "9",
        "publishTime": TIME,
    },
    "deliveryAttempt": 3,
}
CONVERTED = {
    "message": {
        "@type": "type.googleapis.com/google.pubsub.v1.PubsubMessage",
        "data": DATA,
        "attributes": {"k": "v"},
        "messageId": "9",
        "message_id": "9",
        "publishTime": TIME,
        "publish_time": TIME,
    }
}
SNAKE = {
    "message": {
        "data": DATA,
        "attributes": {"k": "v"},
        "message_id": "9",
        "publish_time": TIME,
    }
}


@pytest.mark.parametrize(
    ("data", "attempt"),
    [(EVENTARC, 3), (CONVERTED, 0), (SNAKE, 0)],
    ids=["eventarc", "converted", "snake"],
)
def test_each_shape_gives_the_same_message(data, attempt):
    message = decode_message(event(data))

    assert (message.id, message.data, message.published_at) == ("9", b'{"a":1}', AT)
    assert message.attributes == {"k": "v"}
    assert message.delivery_attempt == attempt


def test_what_the_message_lacks_the_event_may_say():
    data = {"message": {"data": DATA}}

    message = decode_message(event(data, time="2026-11-22T12:00:00.123"))

    assert (message.id, message.published_at) == ("9", AT)


def test_a_message_may_have_no_data():
    assert decode_message(event({"message": {"publishTime": TIME}})).data == b""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "got nothing"),
        ({}, "got nothing"),
        ({"message": "x"}, "got str"),
        ({"message": {"data": "%", "publishTime": TIME}}, "base64"),
        ({"message": {"data": 7, "publishTime": TIME}}, "base64"),
        ({"message": {"data": DATA, "publishTime": "yesterday"}}, "RFC 3339"),
        ({"message": {"attributes": [1], "publishTime": TIME}}, "attributes"),
    ],
)
def test_what_is_no_message_is_malformed(data, reason):
    with pytest.raises(MalformedError, match=reason):
        decode_message(event(data))


def test_another_kind_of_event_is_malformed():
    with pytest.raises(MalformedError, match="storage"):
        decode_message(event(EVENTARC, kind="google.cloud.storage.object.v1.finalized"))
