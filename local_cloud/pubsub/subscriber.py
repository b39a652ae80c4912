"""The RPCs of `google.pubsub.v1.Subscriber`, `StreamingPull` aside."""

import time
from collections.abc import Sequence

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types

from local_cloud.pubsub import backlog, catalogue, outcomes, rules
from local_cloud.pubsub.ack_ids import AckId
from local_cloud.pubsub.backlog import Delivery
from local_cloud.pubsub.database import Database
from local_cloud.pubsub.errors import (
    InvalidArgumentError,
    PreconditionError,
    UnknownFeatureError,
)
from local_cloud.pubsub.publisher import next_page, page_size

PULL_WAIT_S = 10.0
"""How long a pull waits for a first message; the client may ask again."""
PULL_MAX_MESSAGES = 1000

_CHANGEABLE = {
    "ack_deadline_seconds",
    "dead_letter_policy",
    "expiration_policy",
    "labels",
    "message_retention_duration",
    "push_config",
    "retry_policy",
}


class Subscriber:
    """Subscriptions, and messages out of them."""

    def __init__(self, database: Database, *, has_tokens: bool) -> None:
        """Work on `database`; `has_tokens`: pushes can be signed."""
        self._database = database
        self._has_tokens = has_tokens

    def create_subscription(
        self, subscription: types.Subscription, _context: grpc.ServicerContext
    ) -> types.Subscription:
        """Make a subscription; it gets what is published from now on."""
        rules.check_new_subscription(subscription)
        self._check_tokens(subscription.push_config)
        with self._database.write() as connection:
            catalogue.add_subscription(connection, subscription)
        return subscription

    def get_subscription(
        self, request: types.GetSubscriptionRequest, _context: grpc.ServicerContext
    ) -> types.Subscription:
        """Show a subscription."""
        return self._subscription(request.subscription)

    def update_subscription(
        self, request: types.UpdateSubscriptionRequest, _context: grpc.ServicerContext
    ) -> types.Subscription:
        """Change the fields that the mask names."""
        wanted = request.subscription
        with self._database.write() as connection:
            changed = catalogue.get_subscription(connection, wanted.name)
            _copy_fields(wanted, changed, request.update_mask)
            rules.check_subscription(changed)
            self._check_tokens(changed.push_config)
            catalogue.save_subscription(connection, changed)
        return changed

    def list_subscriptions(
        self, request: types.ListSubscriptionsRequest, _context: grpc.ServicerContext
    ) -> types.ListSubscriptionsResponse:
        """List a project's subscriptions, page by page."""
        limit = page_size(request.page_size)
        with self._database.read() as connection:
            page = catalogue.list_subscriptions(
                connection, request.project, after=request.page_token, limit=limit
            )
        token = next_page([each.name for each in page], limit)
        return types.ListSubscriptionsResponse(
            subscriptions=page, next_page_token=token
        )

    def delete_subscription(
        self, request: types.DeleteSubscriptionRequest, _context: grpc.ServicerContext
    ) -> Empty:
        """Delete a subscription and what it holds."""
        with self._database.write() as connection:
            catalogue.remove_subscription(connection, request.subscription)
        return Empty()

    def modify_push_config(
        self, request: types.ModifyPushConfigRequest, _context: grpc.ServicerContext
    ) -> Empty:
        """Push to another endpoint, or, with an empty config, let it be pulled."""
        rules.check_push_config(request.push_config)
        self._check_tokens(request.push_config)
        with self._database.write() as connection:
            subscription = catalogue.get_subscription(connection, request.subscription)
            subscription.push_config = request.push_config
            catalogue.save_subscription(connection, subscription)
        return Empty()

    def pull(
        self, request: types.PullRequest, context: grpc.ServicerContext
    ) -> types.PullResponse:
        """Lease what is due; wait for it a while unless asked not to."""
        if request.max_messages < 1:
            raise InvalidArgumentError(
                f"max_messages: expected at least 1, got {request.max_messages}"
            )
        subscription = self._subscription(request.subscription)
        ends_at = time.monotonic() + _patience_s(request, context)
        while True:
            deliveries = self._lease(subscription, request.max_messages)
            if deliveries or time.monotonic() >= ends_at or not context.is_active():
                return types.PullResponse(
                    received_messages=received(subscription, deliveries)
                )
            wait_for_due(self._database, subscription.name, ends_at - time.monotonic())

    def acknowledge(
        self, request: types.AcknowledgeRequest, _context: grpc.ServicerContext
    ) -> Empty:
        """End deliveries."""
        acks = read_ack_ids(request.ack_ids)
        subscription = self._subscription(request.subscription)
        with self._database.write(durable=False) as connection:
            outcomes.acknowledge(connection, subscription, acks)
        return Empty()

    def modify_ack_deadline(
        self, request: types.ModifyAckDeadlineRequest, _context: grpc.ServicerContext
    ) -> Empty:
        """Give a subscriber more time; 0 s is a nack."""
        acks = read_ack_ids(request.ack_ids)
        subscription = self._subscription(request.subscription)
        modify_deadlines(
            self._database,
            subscription,
            [(ack, request.ack_deadline_seconds) for ack in acks],
        )
        return Empty()

    def _subscription(self, name: str) -> types.Subscription:
        with self._database.read() as connection:
            return catalogue.get_subscription(connection, name)

    def _lease(self, subscription: types.Subscription, limit: int) -> list[Delivery]:
        with self._database.write(durable=False) as connection:
            return backlog.lease(
                connection,
                subscription,
                limit=min(limit, PULL_MAX_MESSAGES),
                deadline_s=subscription.ack_deadline_seconds,
                now=time.time(),
            )

    def _check_tokens(self, config: types.PushConfig) -> None:
        if "oidc_token" in config and not self._has_tokens:
            raise PreconditionError(
                "push_config.oidc_token needs an issuer:"
                " start this server with --token-url"
            )


def received(
    subscription: types.Subscription, deliveries: Sequence[Delivery]
) -> list[types.ReceivedMessage]:
    """Return deliveries as they travel; attempts only with a dead letter policy."""
    has_attempts = rules.max_attempts(subscription) is not None
    return [
        types.ReceivedMessage(
            ack_id=each.ack.encode(),
            message=each.message,
            delivery_attempt=each.ack.attempt if has_attempts else 0,
        )
        for each in deliveries
    ]


def read_ack_ids(ack_ids: Sequence[str]) -> list[AckId]:
    """Read ack ids, at least one."""
    if not ack_ids:
        raise InvalidArgumentError("expected at least one ack id, got none")
    return [AckId.decode(each) for each in ack_ids]


def modify_deadlines(
    database: Database,
    subscription: types.Subscription,
    deadlines: Sequence[tuple[AckId, int]],
) -> None:
    """Give each delivery its new deadline, in seconds from now; 0 is a nack."""
    for _, seconds in deadlines:
        if not 0 <= seconds <= rules.ACK_DEADLINES_S[-1]:
            raise InvalidArgumentError(
                "ack_deadline_seconds: expected 0 to"
                f" {rules.ACK_DEADLINES_S[-1]}, got {seconds}"
            )
    now = time.time()
    with database.write(durable=False) as connection:
        for ack, seconds in deadlines:
            if seconds:
                outcomes.extend(connection, subscription, [ack], now + seconds)
            else:
                outcomes.fail(connection, subscription, [ack], now)


def wait_for_due(database: Database, subscription_name: str, timeout_s: float) -> None:
    """Sleep until a message may be due, something changed, or the time is over."""
    with database.changed, database.read() as connection:
        due_at = backlog.next_due_at(connection, subscription_name)
        until_due_s = timeout_s if due_at is None else due_at - time.time()
        # At most one second, so that a subscriber who left is noticed.
        database.changed.wait(max(0.001, min(until_due_s, timeout_s, 1.0)))


def _patience_s(request: types.PullRequest, context: grpc.ServicerContext) -> float:
    # Google deprecates the field, and still honours it.
    if types.PullRequest.pb(request).return_immediately:
        return 0.0
    # An empty answer shall arrive before the client gives up.
    return min(PULL_WAIT_S, context.time_remaining() * 0.8)


def _copy_fields(
    source: types.Subscription, target: types.Subscription, mask: FieldMask
) -> None:
    fixed = sorted(set(mask.paths) - _CHANGEABLE)
    if fixed or not mask.paths:
        raise UnknownFeatureError(
            f"update_mask: this stand-in changes {sorted(_CHANGEABLE)},"
            f" not {fixed or 'nothing'}"
        )
    for path in mask.paths:
        setattr(target, path, getattr(source, path) if path in source else None)
