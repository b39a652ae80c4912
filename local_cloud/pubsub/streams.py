"""`StreamingPull`: messages out as they come, acknowledgements in.

One thread of the gRPC server sends; one of ours reads what the client says.
The client's flow control is obeyed: no more is outstanding than it asked for.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator

import grpc
from google.pubsub_v1 import types

from local_cloud.pubsub import backlog, catalogue, outcomes, rules
from local_cloud.pubsub.ack_ids import AckId
from local_cloud.pubsub.database import Database
from local_cloud.pubsub.errors import InvalidArgumentError, NotFoundError, PubsubError
from local_cloud.pubsub.subscriber import modify_deadlines, received, wait_for_due

BATCH_MAX = 100
"""Messages in one response."""

CHECK_S = 1.0
"""How often a quiet stream looks whether its client is still there."""


class Stream:
    """One client's open stream."""

    def __init__(
        self,
        database: Database,
        first: types.StreamingPullRequest,
        context: grpc.ServicerContext,
    ) -> None:
        """Open with the first request, which names the subscription."""
        rules.check_deadline(first.stream_ack_deadline_seconds)
        with database.read() as connection:
            self._subscription = catalogue.get_subscription(
                connection, first.subscription
            )
        self._database = database
        self._context = context
        self._deadline_s = first.stream_ack_deadline_seconds
        self._max_messages = first.max_outstanding_messages
        self._max_bytes = first.max_outstanding_bytes
        self._outstanding: dict[AckId, int] = {}
        self._refusal: PubsubError | None = None
        self._is_over = False

    def read(self, requests: Iterator[types.StreamingPullRequest]) -> None:
        """Take acknowledgements until the client says no more: that ends it."""
        try:
            for request in requests:
                self._take(request)
        except PubsubError as error:
            self._refusal = error
        except grpc.RpcError:
            return  # The client left: there is no one to tell.
        finally:
            self._is_over = True

    def responses(self) -> Iterator[types.StreamingPullResponse]:
        """Send messages until the stream ends.

        Raises:
            PubsubError: The client sent what it may not, or the subscription is gone.
        """
        while self._context.is_active() and not self._is_over:
            deliveries = self._lease()
            if deliveries:
                yield self._response(deliveries)
            else:
                self._wait()
        if self._refusal is not None:
            raise self._refusal

    def _response(
        self, deliveries: list[backlog.Delivery]
    ) -> types.StreamingPullResponse:
        is_ordered = self._subscription.enable_message_ordering
        return types.StreamingPullResponse(
            received_messages=received(self._subscription, deliveries),
            subscription_properties={"message_ordering_enabled": is_ordered},
        )

    def _wait(self) -> None:
        with self._database.changed, self._database.read() as connection:
            if self._room(connection) < 1:
                self._database.changed.wait(CHECK_S)
            else:
                wait_for_due(self._database, self._subscription.name, CHECK_S)

    def _take(self, request: types.StreamingPullRequest) -> None:
        if len(request.modify_deadline_ack_ids) != len(request.modify_deadline_seconds):
            raise InvalidArgumentError(
                "expected one modify_deadline_seconds for each ack id"
            )
        self._deadline_s = request.stream_ack_deadline_seconds or self._deadline_s
        rules.check_deadline(self._deadline_s)
        acks = [AckId.decode(each) for each in request.ack_ids]
        moved = [AckId.decode(each) for each in request.modify_deadline_ack_ids]
        self._acknowledge(acks)
        deadlines = list(zip(moved, request.modify_deadline_seconds, strict=True))
        if deadlines:
            modify_deadlines(self._database, self._subscription, deadlines)

    def _acknowledge(self, acks: list[AckId]) -> None:
        if acks:
            with self._database.write(durable=False) as connection:
                outcomes.acknowledge(connection, self._subscription, acks)

    def _lease(self) -> list[backlog.Delivery]:
        with self._database.write(durable=False) as connection:
            room = self._room(connection)
            if room < 1:
                return []
            # Read anew: it may have been changed, or deleted, since.
            self._subscription = catalogue.get_subscription(
                connection, self._subscription.name
            )
            deliveries = backlog.lease(
                connection,
                self._subscription,
                limit=room,
                deadline_s=self._deadline_s,
                now=time.time(),
            )
            self._outstanding.update(
                {each.ack: len(each.message.data) for each in deliveries}
            )
            return deliveries

    def _room(self, connection: sqlite3.Connection) -> int:
        """Return how many more messages the client wants now."""
        # What it answered for, on any stream or by a call, is leased no longer.
        leased = backlog.leased(connection, self._subscription.name)
        self._outstanding = {
            ack: size for ack, size in self._outstanding.items() if ack in leased
        }
        if 0 < self._max_bytes <= sum(self._outstanding.values()):
            return 0
        if self._max_messages <= 0:
            return BATCH_MAX
        return min(BATCH_MAX, self._max_messages - len(self._outstanding))


def streaming_pull(
    database: Database,
    requests: Iterator[types.StreamingPullRequest],
    context: grpc.ServicerContext,
) -> Iterator[types.StreamingPullResponse]:
    """Serve one stream."""
    first = next(requests, None)
    if first is None:
        return
    stream = Stream(database, first, context)
    threading.Thread(target=stream.read, args=(requests,), daemon=True).start()
    try:
        yield from stream.responses()
    except NotFoundError:
        raise NotFoundError(f"subscription {first.subscription} was deleted") from None
