"""The RPCs by name, and refusals as gRPC statuses."""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol, TypeAlias

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from local_cloud.pubsub import errors
from local_cloud.pubsub.database import Database
from local_cloud.pubsub.publisher import Publisher
from local_cloud.pubsub.streams import streaming_pull
from local_cloud.pubsub.subscriber import Subscriber

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
"""gRPC's word for a method with its codecs; their types differ by method."""

_STATUSES: dict[type[errors.PubsubError], grpc.StatusCode] = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.TakenError: grpc.StatusCode.ALREADY_EXISTS,
    errors.PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.UnknownFeatureError: grpc.StatusCode.UNIMPLEMENTED,
}


class _WireType(Protocol):
    """A proto-plus class, which reads and writes its own messages."""

    def deserialize(self, payload: bytes) -> object: ...

    def serialize(self, instance: object) -> bytes: ...


class Handlers(grpc.GenericRpcHandler):
    """The RPCs that are known; gRPC answers UNIMPLEMENTED for the others."""

    def __init__(self, database: Database, *, has_tokens: bool) -> None:
        """Serve from `database`; `has_tokens`: pushes can be signed."""
        publisher = Publisher(database)
        subscriber = Subscriber(database, has_tokens=has_tokens)
        self._handlers = {
            **_publisher_handlers(publisher),
            **_subscriber_handlers(subscriber),
            "/google.pubsub.v1.Subscriber/StreamingPull": _stream(database),
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Return the handler of one RPC."""
        return self._handlers.get(handler_call_details.method)


def _publisher_handlers(
    publisher: Publisher,
) -> dict[str, Handler]:
    return {
        f"/google.pubsub.v1.Publisher/{name}": handler
        for name, handler in {
            "CreateTopic": _unary(publisher.create_topic, types.Topic, types.Topic),
            "GetTopic": _unary(publisher.get_topic, types.GetTopicRequest, types.Topic),
            "ListTopics": _unary(
                publisher.list_topics, types.ListTopicsRequest, types.ListTopicsResponse
            ),
            "ListTopicSubscriptions": _unary(
                publisher.list_topic_subscriptions,
                types.ListTopicSubscriptionsRequest,
                types.ListTopicSubscriptionsResponse,
            ),
            "DeleteTopic": _unary(
                publisher.delete_topic, types.DeleteTopicRequest, None
            ),
            "Publish": _unary(
                publisher.publish, types.PublishRequest, types.PublishResponse
            ),
        }.items()
    }


def _subscriber_handlers(
    subscriber: Subscriber,
) -> dict[str, Handler]:
    return {
        f"/google.pubsub.v1.Subscriber/{name}": handler
        for name, handler in {
            "CreateSubscription": _unary(
                subscriber.create_subscription, types.Subscription, types.Subscription
            ),
            "GetSubscription": _unary(
                subscriber.get_subscription,
                types.GetSubscriptionRequest,
                types.Subscription,
            ),
            "UpdateSubscription": _unary(
                subscriber.update_subscription,
                types.UpdateSubscriptionRequest,
                types.Subscription,
            ),
            "ListSubscriptions": _unary(
                subscriber.list_subscriptions,
                types.ListSubscriptionsRequest,
                types.ListSubscriptionsResponse,
            ),
            "DeleteSubscription": _unary(
                subscriber.delete_subscription, types.DeleteSubscriptionRequest, None
            ),
            "ModifyPushConfig": _unary(
                subscriber.modify_push_config, types.ModifyPushConfigRequest, None
            ),
            "Pull": _unary(subscriber.pull, types.PullRequest, types.PullResponse),
            "Acknowledge": _unary(
                subscriber.acknowledge, types.AcknowledgeRequest, None
            ),
            "ModifyAckDeadline": _unary(
                subscriber.modify_ack_deadline, types.ModifyAckDeadlineRequest, None
            ),
        }.items()
    }


def _unary(
    serve: Callable[[Any, grpc.ServicerContext], object],
    asked: _WireType,
    answered: _WireType | None,
) -> Handler:
    """Wrap one method; no `answered` is Empty."""

    def handle(request: object, context: grpc.ServicerContext) -> object:
        try:
            return serve(request, context)
        except errors.PubsubError as error:
            _abort(context, error)

    serialize = answered.serialize if answered else Empty.SerializeToString
    return grpc.unary_unary_rpc_method_handler(handle, asked.deserialize, serialize)


def _stream(database: Database) -> Handler:
    def handle(
        requests: Iterator[types.StreamingPullRequest], context: grpc.ServicerContext
    ) -> Iterator[types.StreamingPullResponse]:
        try:
            yield from streaming_pull(database, requests, context)
        except errors.PubsubError as error:
            _abort(context, error)

    return grpc.stream_stream_rpc_method_handler(
        handle,
        types.StreamingPullRequest.deserialize,
        types.StreamingPullResponse.serialize,
    )


def _abort(context: grpc.ServicerContext, error: errors.PubsubError) -> NoReturn:
    context.abort(_STATUSES.get(type(error), grpc.StatusCode.INTERNAL), str(error))
