"""Push: post what is due to the endpoints, and take the answer for the outcome.

One thread looks for what is due and hands it to a pool of workers. Each
subscription has a window of requests under way, which opens while they
succeed, and a pause, which grows while they fail: a dead endpoint is asked
ever more seldom, and nothing is logged for it but the first failure.

Source: cloud.google.com/pubsub/docs/push, "Push backoff" and "Delivery rate"
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import urllib3
from google.pubsub_v1 import types

from local_cloud.pubsub import backlog, catalogue, outcomes
from local_cloud.pubsub.backlog import Delivery
from local_cloud.pubsub.database import Database
from local_cloud.pubsub.envelope import wrap
from local_cloud.pubsub.errors import TokenUnavailableError
from local_cloud.pubsub.log import log
from local_cloud.pubsub.tokens import TokenSource

ACKNOWLEDGING = frozenset({102, 200, 201, 202, 204})
WINDOW_MAX = 16
"""Requests under way to one endpoint; Google's window is wider."""
WORKERS = 64
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 60.0
"""Google's bounds of the push backoff."""
ANSWER_MAX_BYTES = 65_536
"""What is read of an answer, so that its connection can be used again."""
LEASE_MARGIN_S = 5.0
"""A lease outlives its request by this, so that a late answer still counts."""


@dataclass
class _Lane:
    """What is known of one subscription's endpoint."""

    under_way: int = 0
    window: int = 1
    failures: int = 0
    resumes_at: float = 0.0


class Pusher:
    """Pushes for all subscriptions that have an endpoint."""

    def __init__(
        self,
        database: Database,
        tokens: TokenSource | None,
        *,
        pause_max_s: float = PAUSE_MAX_S,
    ) -> None:
        """Work on `database`; `start` begins."""
        self._database = database
        self._tokens = tokens
        self._pause_max_s = pause_max_s
        self._lanes: dict[str, _Lane] = {}
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="push")
        self._pool = urllib3.PoolManager(
            num_pools=64,
            maxsize=WINDOW_MAX,
            retries=False,
            headers={"User-Agent": "CloudPubSub-Google"},
        )
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="push", daemon=True)

    def start(self) -> None:
        """Begin to push."""
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
            self._begin_lane(each)
            for each in subscriptions
            if each.push_config.push_endpoint
        ]
        return max(0.001, min(waits_s, default=1.0))

    def _begin_lane(self, subscription: types.Subscription) -> float:
        lane = self._lanes.setdefault(subscription.name, _Lane())
        now = time.time()
        if now < lane.resumes_at:
            return min(1.0, lane.resumes_at - now)
        if lane.under_way >= lane.window:
            return 1.0  # The end of any of them wakes us.
        deliveries = self._lease(subscription, lane.window - lane.under_way, now)
        for delivery in deliveries:
            lane.under_way += 1
            self._workers.submit(self._push, subscription, delivery)
        if deliveries:
            return 0.0
        with self._database.read() as connection:
            due_at = backlog.next_due_at(connection, subscription.name)
        return 1.0 if due_at is None else max(0.0, min(1.0, due_at - now))

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

    def _push(self, subscription: types.Subscription, delivery: Delivery) -> None:
        """Make one request and carry out its outcome."""
        try:
            outcome = self._post(subscription, delivery)
        except TokenUnavailableError as error:
            self._settle(subscription, delivery, is_acked=None, reason=str(error))
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self._settle(
                subscription, delivery, is_acked=False, reason=type(error).__name__
            )
        else:
            is_acked = outcome in ACKNOWLEDGING
            self._settle(
                subscription, delivery, is_acked=is_acked, reason=f"answered {outcome}"
            )

    def _post(self, subscription: types.Subscription, delivery: Delivery) -> int:
        config = subscription.push_config
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "CloudPubSub-Google",
        }
        if "oidc_token" in config:
            headers["Authorization"] = f"Bearer {self._token(config)}"
        reply = self._pool.request(
            "POST",
            config.push_endpoint,
            body=wrap(subscription, delivery),
            headers=headers,
            timeout=float(subscription.ack_deadline_seconds),
            redirect=False,
            preload_content=False,
        )
        reply.read(ANSWER_MAX_BYTES)
        reply.release_conn()
        return reply.status

    def _token(self, config: types.PushConfig) -> str:
        if self._tokens is None:
            raise TokenUnavailableError("this server was started without --token-url")
        audience = config.oidc_token.audience or config.push_endpoint
        return self._tokens.token(
            audience=audience, email=config.oidc_token.service_account_email
        )

    def _settle(
        self,
        subscription: types.Subscription,
        delivery: Delivery,
        *,
        is_acked: bool | None,
        reason: str,
    ) -> None:
        """Carry out an outcome; None: nothing was attempted."""
        with self._database.changed:
            lane = self._lanes[subscription.name]
            lane.under_way -= 1
            self._steer(lane, subscription, is_success=bool(is_acked), reason=reason)
            with self._database.write(durable=False) as connection:
                now = time.time()
                if is_acked:
                    outcomes.acknowledge(connection, subscription, [delivery.ack])
                elif is_acked is None:
                    outcomes.put_back(connection, subscription, delivery.ack, now)
                else:
                    outcomes.fail(connection, subscription, [delivery.ack], now)
            self._database.changed.notify_all()

    def _steer(
        self,
        lane: _Lane,
        subscription: types.Subscription,
        *,
        is_success: bool,
        reason: str,
    ) -> None:
        if is_success:
            if lane.failures:
                log(
                    "push_resumed",
                    subscription=subscription.name,
                    failures=lane.failures,
                )
            lane.failures = 0
            lane.window = min(WINDOW_MAX, lane.window * 2)
            return
        if not lane.failures:
            log("push_failed", subscription=subscription.name, reason=reason)
        pause_s = min(self._pause_max_s, PAUSE_MIN_S * 2.0 ** min(lane.failures, 30))
        lane.failures += 1
        lane.window = max(1, lane.window // 2)
        lane.resumes_at = time.time() + pause_s
