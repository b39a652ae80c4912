"""The body of a push request, as Google wraps it.

Source: cloud.google.com/pubsub/docs/push, "Receive push messages"
"""

import base64
import json

from google.pubsub_v1 import types

from local_cloud.pubsub import rules
from local_cloud.pubsub.backlog import Delivery
from local_cloud.pubsub.messages import published_text


def wrap(subscription: types.Subscription, delivery: Delivery) -> bytes:
    """Return the JSON that is posted for one delivery."""
    message = delivery.message
    published_at = published_text(message)
    body: dict[str, object] = {
        "data": base64.b64encode(message.data).decode(),
        "messageId": message.message_id,
        "message_id": message.message_id,
        "publishTime": published_at,
        "publish_time": published_at,
    }
    if message.attributes:
        body["attributes"] = dict(message.attributes)
    if message.ordering_key:
        body["orderingKey"] = message.ordering_key
    envelope: dict[str, object] = {"message": body, "subscription": subscription.name}
    if rules.max_attempts(subscription) is not None:
        envelope["deliveryAttempt"] = delivery.ack.attempt
    return json.dumps(envelope).encode()
