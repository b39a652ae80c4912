"""The RPCs of `google.pubsub.v1.Publisher`."""

import time
from collections.abc import Sequence

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from local_cloud.pubsub import catalogue, names, rules
from local_cloud.pubsub.database import Database
from local_cloud.pubsub.messages import publish


class Publisher:
    """Topics, and messages into them."""

    def __init__(self, database: Database) -> None:
        """Work on `database`."""
        self._database = database

    def create_topic(
        self, topic: types.Topic, _context: grpc.ServicerContext
    ) -> types.Topic:
        """Make a topic."""
        rules.check_new_topic(topic)
        with self._database.write() as connection:
            catalogue.add_topic(connection, topic)
        return topic

    def get_topic(
        self, request: types.GetTopicRequest, _context: grpc.ServicerContext
    ) -> types.Topic:
        """Show a topic."""
        with self._database.read() as connection:
            return catalogue.get_topic(connection, request.topic)

    def list_topics(
        self, request: types.ListTopicsRequest, _context: grpc.ServicerContext
    ) -> types.ListTopicsResponse:
        """List a project's topics, page by page."""
        limit = page_size(request.page_size)
        with self._database.read() as connection:
            page = catalogue.list_topics(
                connection, request.project, after=request.page_token, limit=limit
            )
        token = next_page([topic.name for topic in page], limit)
        return types.ListTopicsResponse(topics=page, next_page_token=token)

    def list_topic_subscriptions(
        self,
        request: types.ListTopicSubscriptionsRequest,
        _context: grpc.ServicerContext,
    ) -> types.ListTopicSubscriptionsResponse:
        """List the names of a topic's subscriptions, on one page."""
        with self._database.read() as connection:
            catalogue.get_topic(connection, request.topic)
            found = catalogue.subscriptions_of(connection, request.topic)
        return types.ListTopicSubscriptionsResponse(
            subscriptions=[each.name for each in found]
        )

    def delete_topic(
        self, request: types.DeleteTopicRequest, _context: grpc.ServicerContext
    ) -> Empty:
        """Delete a topic."""
        with self._database.write() as connection:
            catalogue.remove_topic(connection, request.topic)
        return Empty()

    def publish(
        self, request: types.PublishRequest, _context: grpc.ServicerContext | None
    ) -> types.PublishResponse:
        """Keep messages; answered when they are on the disk."""
        names.check_topic(request.topic)
        rules.check_messages(request.messages)
        with self._database.write() as connection:
            ids = publish(connection, request.topic, request.messages, time.time())
        return types.PublishResponse(
            message_ids=[str(message_id) for message_id in ids]
        )


def page_size(asked: int) -> int:
    """Return how long a page of a list may be."""
    return min(asked, catalogue.PAGE_MAX) if asked > 0 else catalogue.PAGE_MAX


def next_page(listed: Sequence[str], limit: int) -> str:
    """Return the token of the next page: the last name of a full one."""
    return listed[-1] if len(listed) == limit else ""
