"""Push: hand what is due to the endpoints, and take the answer for the outcome.

One thread looks for what is due and hands it to a pool of workers, each
endpoint at its own pace (`lanes.py`). Of a dead endpoint, only the first
failure is logged.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

import urllib3
from google.pubsub_v1 import types

from local_cloud.pubsub import backlog, catalogue, outcomes
from local_cloud.pubsub.backlog import Delivery
from local_cloud.pubsub.database import Database
from local_cloud.pubsub.errors import TokenUnavailableError
from local_cloud.pubsub.lanes import Lane
from local_cloud.pubsub.log import log
from local_cloud.pubsub.posts import Poster

ACKNOWLEDGING = frozenset({102, 200, 201, 202, 204})
WORKERS = 64
LOOK_S = 1.0
"""How often to look when nothing says that something is due."""
LEASE_MARGIN_S = 5.0
"""A lease outlives its request by this, so that a late answer still counts."""


class _Outcome(Enum):
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    NOT_TRIED = "not tried"


class Pusher:
    """Pushes for all subscriptions that have an endpoint."""

    def __init__(
        self, database: Database, poster: Poster, *, pause_max_s: float
    ) -> None:
        """Work on `database`; `start` begins."""
        self._database = database
        self._poster = poster
        self._pause_max_s = pause_max_s
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="push")
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="push", daemon=True)

    def start(self) -> None:
        """Take up what an earlier process was pushing when it ended, and begin."""
        with self._database.write() as connection:
            for each in catalogue.all_subscriptions(connection):
                if each.push_config.push_endpoint:
                    outcomes.put_back_all(connection, each)
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; what is under way is not waited for."""
        self._is_stopping.set()
        with self._database.changed:
            self._database.changed.notify_all()
        self._thread.join()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            with self._database.changed:
                wait_s = self._begin_due()
                self._database.changed.wait(wait_s)

    def _begin_due(self) -> float:
        """Begin what is due; return how long nothing more will be, in seconds."""
        with self._database.read() as connection:
            subscriptions = catalogue.all_subscriptions(connection)
        waits_s = [
            self._begin_lane(each, time.time())
            for each in subscriptions
            if each.push_config.push_endpoint
        ]
        return max(0.001, min([LOOK_S, *waits_s]))

    def _begin_lane(self, subscription: types.Subscription, now: float) -> float:
        lane = self._lane(subscription)
        if now < lane.resumes_at:
            return lane.resumes_at - now
        if not lane.room():
            return LOOK_S  # The end of any of them wakes us.
        deliveries = self._lease(subscription, lane.room(), now)
        for delivery in deliveries:
            lane.under_way += 1
            self._workers.submit(self._push, subscription, delivery, now)
        if deliveries:
            return 0.0
        with self._database.read() as connection:
            due_at = backlog.next_due_at(connection, subscription.name)
        return LOOK_S if due_at is None else due_at - now

    def _lane(self, subscription: types.Subscription) -> Lane:
        # By endpoint too: a new one is not to blame for the failures of the former.
        key = (subscription.name, subscription.push_config.push_endpoint)
        return self._lanes.setdefault(key, Lane(self._pause_max_s))

    def _lease(
        self, subscription: types.Subscription, limit: int, now: float
    ) -> Sequence[Delivery]:
        with self._database.write(durable=False) as connection:
            return backlog.lease(
                connection,
                subscription,
                limit=limit,
                deadline_s=subscription.ack_deadline_seconds + LEASE_MARGIN_S,
                now=now,
            )

    def _push(
        self, subscription: types.Subscription, delivery: Delivery, begun_at: float
    ) -> None:
        """Make one request and carry out its outcome."""
        outcome, reason = self._attempt(subscription, delivery)
        with self._database.changed:
            self._steer(subscription, outcome, reason, begun_at)
            with self._database.write(durable=False) as connection:
                now = time.time()
                if outcome is _Outcome.ACKNOWLEDGED:
                    outcomes.acknowledge(connection, subscription, [delivery.ack])
                elif outcome is _Outcome.REFUSED:
                    outcomes.fail(connection, subscription, [delivery.ack], now)
                else:
                    outcomes.put_back(connection, subscription, delivery.ack, now)
            self._database.changed.notify_all()

    def _attempt(
        self, subscription: types.Subscription, delivery: Delivery
    ) -> tuple[_Outcome, str]:
        try:
            status = self._poster.post(subscription, delivery)
        except TokenUnavailableError as error:
            return _Outcome.NOT_TRIED, str(error)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return _Outcome.REFUSED, type(error).__name__
        if status in ACKNOWLEDGING:
            return _Outcome.ACKNOWLEDGED, ""
        return _Outcome.REFUSED, f"answered {status}"

    def _steer(
        self,
        subscription: types.Subscription,
        outcome: _Outcome,
        reason: str,
        begun_at: float,
    ) -> None:
        lane = self._lane(subscription)
        before = lane.failures
        if outcome is _Outcome.ACKNOWLEDGED:
            lane.succeed()
            if before:
                log("push_resumed", subscription=subscription.name, failures=before)
        else:
            lane.fail(begun_at=begun_at, now=time.time())
            if not before:
                log("push_failed", subscription=subscription.name, reason=reason)
