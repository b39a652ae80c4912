"""Tell rings over MQTT that something waits for them.

A notice is a hint: retained, at least once, one topic for each ring and model.
A gateway that misses it finds the truth by asking. The connection lives for one
call, because a function has no CPU after its response.

Source: docs/protocol.md, 9.1 "The notice"
"""

import json
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from functions.errors import UpstreamUnavailableError
from functions.setting_values import BrokerSettings

CONNECT_TIMEOUT_S = 5.0
PUBLISH_TIMEOUT_S = 10.0
"""For all rings together; a hundred acknowledgements take well under a second."""
_AT_LEAST_ONCE = 1
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


def notice_topic(ring: int, model: str) -> str:
    """Return the topic on which a ring hears of a model."""
    return f"packhorse/rings/{ring}/{model}"


class Broker:
    """An MQTT broker, or none."""

    def __init__(self, settings: BrokerSettings) -> None:
        """Remember where it is; connects at each call."""
        self._settings = settings
        self._url = urlsplit(settings.url)

    def notify(self, rings: Iterable[int], *, model: str, sequence: int) -> int:
        """Leave a notice for each ring; without a broker, do nothing.

        Args:
            rings: Whom it concerns.
            model: The model whose rollout changed.
            sequence: Of the rollout document that waits.

        Returns:
            How many notices the broker took.

        Raises:
            UpstreamUnavailableError: It did not take all; safe to call again.
        """
        payload = json.dumps({"model": model, "sequence": sequence})
        topics = [notice_topic(ring, model) for ring in rings]
        if not self._settings.url or not topics:
            return 0
        with self._connected() as client:
            pending = [
                client.publish(topic, payload, qos=_AT_LEAST_ONCE, retain=True)
                for topic in topics
            ]
            for each in pending:
                each.wait_for_publish(PUBLISH_TIMEOUT_S)
        if not all(each.is_published() for each in pending):
            raise UpstreamUnavailableError("the broker did not take every notice")
        return len(pending)

    @contextmanager
    def _connected(self) -> Iterator[paho.Client]:
        client = self._client()
        try:
            client.connect(
                self._url.hostname or "", self._url.port or _PORTS[self._url.scheme]
            )
            client.loop_start()
            yield client
        # ssl's and the sockets' errors are OSErrors; paho adds the other two.
        except (OSError, ValueError, RuntimeError) as error:
            raise UpstreamUnavailableError("the broker cannot be reached") from error
        finally:
            client.disconnect()
            client.loop_stop()

    def _client(self) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=_PROTOCOLS[settings.protocol]
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._url.username:
            client.username_pw_set(self._url.username, self._url.password)
        if self._url.scheme == "mqtts":
            client.tls_set_context(_tls(settings))
        return client


def _tls(settings: BrokerSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file or None)
    return context
