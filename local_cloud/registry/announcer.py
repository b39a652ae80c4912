"""Publish the catalog's notices to Pub/Sub, at least once.

A notice leaves the catalog only after Pub/Sub took it. While Pub/Sub is away,
or the topic does not exist yet, notices wait on disk.
"""

import json
import sys
import threading
from collections.abc import Callable, Sequence

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud.pubsub_v1 import PublisherClient  # type: ignore[import-untyped]  # it ships no types

from local_cloud.registry.catalog import Catalog
from local_cloud.registry.notices import TOPIC

PUBLISH_TIMEOUT_S = 5.0
BATCH_SIZE = 100
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 2.0
"""A Pub/Sub that comes back is noticed within this time."""


class UnavailableError(Exception):
    """Pub/Sub did not take the notices now; they may be sent again."""


class Publisher:
    """Google's client for the one topic, led to `PUBSUB_EMULATOR_HOST`."""

    def __init__(self, project: str) -> None:
        """Name the topic; nothing is connected before the first notice."""
        self._topic = f"projects/{project}/topics/{TOPIC}"
        self._client: PublisherClient | None = None

    def publish(self, bodies: Sequence[bytes]) -> None:
        """Publish all of `bodies`, in order.

        Raises:
            UnavailableError: Pub/Sub did not confirm each of them.
        """
        client = self._client = self._client or PublisherClient()
        futures = [
            client.publish(self._topic, body, retry=None, timeout=PUBLISH_TIMEOUT_S)
            for body in bodies
        ]
        try:
            for future in futures:
                future.result(timeout=2 * PUBLISH_TIMEOUT_S)
        except (GoogleAPICallError, RetryError, TimeoutError) as error:
            self.close()
            raise UnavailableError(f"{type(error).__name__} from Pub/Sub") from error

    def close(self) -> None:
        """Drop the connection, so that no backoff of gRPC's outlives an outage."""
        client, self._client = self._client, None
        if client is not None:
            client.stop()
            client.transport.close()


class Announcer:
    """A thread that empties the catalog's outbox."""

    def __init__(
        self, catalog: Catalog, publish: Callable[[Sequence[bytes]], None]
    ) -> None:
        """Take the outbox and the way out."""
        self._catalog = catalog
        self._publish = publish
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)

    def start(self) -> None:
        """Begin with what an earlier process left."""
        self._wake.set()
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new."""
        self._wake.set()

    def stop(self) -> None:
        """Stop after the notices that are on their way."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout=3 * PUBLISH_TIMEOUT_S)

    def _run(self) -> None:
        pause_s = PAUSE_MIN_S
        while not self._stopping.is_set():
            try:
                self._announce_all()
            except UnavailableError as error:
                _log("announce_later", str(error))
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
            else:
                pause_s = PAUSE_MIN_S
                self._wake.wait()

    def _announce_all(self) -> None:
        self._wake.clear()
        while batch := self._catalog.pending_notices(BATCH_SIZE):
            self._publish([notice.body for notice in batch])
            self._catalog.forget_notices(batch)


def _log(event: str, reason: str) -> None:
    sys.stdout.write(json.dumps({"event": event, "reason": reason}) + "\n")
    sys.stdout.flush()
