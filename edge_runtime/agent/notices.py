"""Be woken when something waits. A notice is a hint, never an instruction.

Whatever a message says, it makes the agent look at the signed metadata once, and
`schedule.py` bounds how often; a broker that is missing, dead or hostile costs at
most that. Messages are read at a bounded rate, so that a flood waits at the broker,
and none is read that is longer than a notice ever is. Polling finds everything
without any of them.

Source: docs/protocol.md, 9.1 "The notice"
"""

import random
import time
from typing import Protocol
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_runtime.agent.clock import Clock
from edge_runtime.agent.network.tls import TlsContext
from edge_runtime.settings.agent_settings import AgentSettings, MqttSettings

RECONNECT_MIN_S = (1, 5)
RECONNECT_MAX_S = (90, 150)
"""Each gateway draws its own: a broker that comes back is not met by all at once."""

KEEPALIVE_S = 60
SESSION_S = 86_400
"""How long the broker keeps what came while the gateway was away (MQTT 5)."""

PACKET_MAX_BYTES = 16_384
"""A notice has about 100 bytes; a packet's length is checked before it is read."""

RECEIVE_MAX = 10
"""Messages that the broker may send ahead of our word that we took one (MQTT 5)."""

NOTICE_GAP_S = 0.1
"""After each message. Ten a second cost no processor to speak of."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}


def notice_topic(ring: int, model: str) -> str:
    """Return the topic on which a ring hears of a model."""
    return f"packhorse/rings/{ring}/{model}"


class Bell(Protocol):
    """Takes a notice; the broker kept one that `is_old` until we came."""

    def __call__(self, *, is_old: bool) -> None:
        """Ring."""


class Notices:
    """A subscription in a thread of its own, which reconnects by itself."""

    def __init__(
        self, settings: AgentSettings, bell: Bell, clock: Clock | None = None
    ) -> None:
        """Prepare; `bell` is rung, from that thread, for every message.

        Args:
            settings: Who listens, and to whom.
            bell: What is rung.
            clock: Judges the dates of the broker's certificate where it is not sure.
        """
        self._topic = notice_topic(settings.ring, settings.model)
        self._bell = bell
        self._settings = settings.mqtt
        self._client = (
            make_client(settings.device, settings.mqtt, clock)
            if settings.mqtt
            else None
        )

    def start(self) -> None:
        """Begin to listen; returns at once, whether or not there is a broker."""
        if self._client is None or self._settings is None:
            return
        self._client.on_connect = self._subscribe
        self._client.on_message = self._take
        parts = urlsplit(self._settings.url)
        _connect(self._client, parts.hostname or "", parts.port or _PORTS[parts.scheme])
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye to the broker; its thread ends by itself, or with us.

        It is not waited for: it may be asleep before its next attempt.
        """
        if self._client is not None:
            self._client.disconnect()
            # paho closes what its thread left open when the client is dropped:
            # that is at once, unless the client and what it calls hold each other.
            self._client.on_connect = self._client.on_message = None

    def _subscribe(
        self,
        client: Client,
        _userdata: object,
        _flags: object,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        client.subscribe(self._topic, qos=1)

    def _take(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self._bell(is_old=message.retain)
        time.sleep(NOTICE_GAP_S)


class CappedClient(Client):
    """paho's client, which would read a packet of 256 MiB into memory.

    Inherited from, for want of a setting: paho asks the socket for as many bytes as
    a packet still has, and this is where it asks.
    """

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > PACKET_MAX_BYTES:
            # What paho takes for a connection that is lost: it reconnects, later.
            raise ConnectionError(
                f"a packet may have {PACKET_MAX_BYTES} bytes, this one has {bufsize}"
            )
        return super()._sock_recv(bufsize)


def make_client(
    device: str, settings: MqttSettings, clock: Clock | None = None
) -> CappedClient:
    """Return a client that is not connected yet."""
    is_5 = settings.protocol == "5"
    client = CappedClient(
        CallbackAPIVersion.VERSION2,
        client_id=f"packhorse-{device}",
        # MQTT 5 says at each connection how long its session lasts instead.
        clean_session=None if is_5 else False,
        protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311,
    )
    client.reconnect_delay_set(
        random.randint(*RECONNECT_MIN_S),  # noqa: S311 - no secret
        random.randint(*RECONNECT_MAX_S),  # noqa: S311 - as above
    )
    if settings.url.startswith("mqtts:"):
        client.tls_set_context(_tls(settings, clock))
    return client


def _connect(client: Client, host: str, port: int) -> None:
    if client.protocol == MQTTProtocolVersion.MQTTv5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
        properties.SessionExpiryInterval = SESSION_S
        properties.MaximumPacketSize = PACKET_MAX_BYTES
        properties.ReceiveMaximum = RECEIVE_MAX
        client.connect_async(
            host, port, KEEPALIVE_S, clean_start=False, properties=properties
        )
    else:
        client.connect_async(host, port, KEEPALIVE_S)


def _tls(settings: MqttSettings, clock: Clock | None) -> TlsContext:
    context = TlsContext(settings.ca_file, clock)
    if settings.cert_file is not None:
        key_file = str(settings.key_file) if settings.key_file else None
        context.load_cert_chain(str(settings.cert_file), key_file)
    return context
