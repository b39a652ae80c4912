"""Be woken when something waits. A notice is a hint, never an instruction.

Whatever a message says, it makes the agent look at the signed metadata once;
a broker that is missing, dead or hostile costs at most that. Polling finds
everything without it.
"""

import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_runtime.agent_settings import AgentSettings, MqttSettings

RECONNECT_MIN_S = 1
RECONNECT_MAX_S = 120
KEEPALIVE_S = 60
SESSION_S = 86_400
"""How long the broker keeps what came while the gateway was away (MQTT 5)."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}


def notice_topic(ring: int, model: str) -> str:
    """Return the topic on which a ring hears of a model."""
    return f"packhorse/rings/{ring}/{model}"


class Notices:
    """A subscription in a thread of its own, which reconnects by itself."""

    def __init__(self, settings: AgentSettings, wake: Callable[[], None]) -> None:
        """Prepare; `wake` is called, from that thread, for every message."""
        self._topic = notice_topic(settings.ring, settings.model)
        self._wake = wake
        self._settings = settings.mqtt
        self._client = (
            _client(settings.device, settings.mqtt) if settings.mqtt else None
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

    def _take(self, _client: Client, _userdata: object, _message: MQTTMessage) -> None:
        self._wake()


def _client(device: str, settings: MqttSettings) -> Client:
    is_5 = settings.protocol == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"packhorse-{device}",
        # MQTT 5 says at each connection how long its session lasts instead.
        clean_session=None if is_5 else False,
        protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311,
    )
    client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
    if settings.url.startswith("mqtts:"):
        client.tls_set_context(_tls(settings))
    return client


def _connect(client: Client, host: str, port: int) -> None:
    if client.protocol == MQTTProtocolVersion.MQTTv5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
        properties.SessionExpiryInterval = SESSION_S
        client.connect_async(
            host, port, KEEPALIVE_S, clean_start=False, properties=properties
        )
    else:
        client.connect_async(host, port, KEEPALIVE_S)


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    cafile = str(settings.ca_file) if settings.ca_file else None
    context = ssl.create_default_context(cafile=cafile)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        key_file = str(settings.key_file) if settings.key_file else None
        context.load_cert_chain(str(settings.cert_file), key_file)
    return context
