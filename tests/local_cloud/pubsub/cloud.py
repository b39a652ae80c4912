"""One project on a Pub/Sub server, spoken to with Google's own client."""

import os
import uuid
import warnings

from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient as GapicPublisher
from google.pubsub_v1.services.publisher.transports import PublisherRestTransport

PULL_TIMEOUT_S = 10


class Cloud:
    """Google's two clients, and names that no other test uses."""

    def __init__(self):
        self.project = f"p-{uuid.uuid4().hex[:12]}"
        self.publisher = pubsub_v1.PublisherClient()
        self.subscriber = pubsub_v1.SubscriberClient()

    def topic_name(self, name):
        return f"projects/{self.project}/topics/{name}"

    def subscription_name(self, name):
        return f"projects/{self.project}/subscriptions/{name}"

    def topic(self, name="releases"):
        self.publisher.create_topic(name=self.topic_name(name))
        return self.topic_name(name)

    def subscription(self, topic, name="reader", **fields):
        request = {"name": self.subscription_name(name), "topic": topic, **fields}
        return self.subscriber.create_subscription(request=request).name

    def push(self, topic, url, name="pusher", *, email="", audience="", **fields):
        config = {"push_endpoint": url}
        if email:
            config["oidc_token"] = {
                "service_account_email": email,
                "audience": audience,
            }
        return self.subscription(topic, name, push_config=config, **fields)

    def publish(self, topic, data=b"data", **attributes):
        future = self.publisher.publish(topic, data, **attributes)
        return future.result(timeout=10)

    def publish_messages(self, topic, *messages):
        """Publish by the plain call, which takes messages as they are."""
        GapicPublisher.publish(self.publisher, topic=topic, messages=messages)

    def rest_publisher(self):
        """Return Google's generated client that speaks REST."""
        transport = PublisherRestTransport(
            host=os.environ["PUBSUB_EMULATOR_HOST"],
            credentials=AnonymousCredentials(),
            url_scheme="http",
        )
        return GapicPublisher(transport=transport)

    def pull(self, subscription, limit=1, *, at_once=False):
        request = {"subscription": subscription, "max_messages": limit}
        if at_once:
            request["return_immediately"] = True
        with warnings.catch_warnings():
            # Google deprecates `return_immediately`; only a test may be that impatient.
            warnings.simplefilter("ignore", DeprecationWarning)
            reply = self.subscriber.pull(request=request, timeout=PULL_TIMEOUT_S)
        return list(reply.received_messages)

    def drain(self, subscription):
        """Take and acknowledge everything that is there; return the payloads."""
        payloads = []
        while found := self.pull(subscription, 100, at_once=True):
            self.ack(subscription, *found)
            payloads += [each.message.data for each in found]
        return payloads

    def ack(self, subscription, *received):
        ack_ids = [each.ack_id for each in received]
        self.subscriber.acknowledge(subscription=subscription, ack_ids=ack_ids)

    def nack(self, subscription, received):
        self.subscriber.modify_ack_deadline(
            subscription=subscription, ack_ids=[received.ack_id], ack_deadline_seconds=0
        )

    def close(self):
        for subscription in self.subscriber.list_subscriptions(
            project=f"projects/{self.project}"
        ):
            self.subscriber.delete_subscription(subscription=subscription.name)
        self.disconnect()

    def disconnect(self):
        self.publisher.stop()
        self.publisher.transport.close()
        self.subscriber.close()
