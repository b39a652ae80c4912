"""Publish to this project's Pub/Sub topics.

`publish` returns when Pub/Sub has taken the message, because a function has no
CPU after its response. It does not retry: what was not taken stays in the
outbox, or the caller's own message comes back.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from google.cloud.pubsub_v1 import (  # type: ignore[import-untyped]  # it ships none
    PublisherClient,
)

from functions.adapters.calls import upstream

PUBLISH_TIMEOUT_S = 10.0
"""Well under every function's own timeout, so that a failure can be recorded."""


@dataclass(frozen=True, slots=True)
class Event:
    """A message to publish: a topic's short name and the body."""

    topic: str
    body: bytes


class Publisher:
    """Google's client, for the topics of one project."""

    def __init__(self, project: str) -> None:
        """Prepare a client; it connects at the first call.

        Args:
            project: The Google Cloud project that owns the topics.
        """
        self._project = project
        with upstream("Pub/Sub"):
            self._client = PublisherClient()

    def publish(self, topic: str, body: bytes) -> None:
        """Publish one message and wait until Pub/Sub has taken it.

        Raises:
            UpstreamUnavailableError: Perhaps not taken; safe to call again.
            UpstreamRefusedError: The topic is missing, or closed to us.
        """
        self.publish_all([Event(topic, body)])

    def publish_all(self, events: Iterable[Event]) -> None:
        """Publish several messages together and wait for all of them.

        Raises:
            UpstreamUnavailableError: Perhaps some not taken; safe to repeat.
            UpstreamRefusedError: A topic is missing, or closed to us.
        """
        with upstream("Pub/Sub"):
            pending = [
                self._client.publish(
                    self._client.topic_path(self._project, event.topic),
                    event.body,
                    retry=None,
                    timeout=PUBLISH_TIMEOUT_S,
                )
                for event in events
            ]
            for future in pending:
                future.result(timeout=PUBLISH_TIMEOUT_S)
