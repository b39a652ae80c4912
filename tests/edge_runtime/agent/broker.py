"""Publish notices as the cloud does."""

from contextlib import contextmanager

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.mosquitto import CLOUD


def notices_of(broker):
    """Return the settings of an agent that looks when a notice comes, or in an hour."""
    certificate, key = broker.make_client("gateway-1")
    return {
        "PACKHORSE_POLL_S": "3600",
        "PACKHORSE_MQTT_URL": broker.url,
        "PACKHORSE_MQTT_CA_FILE": str(broker.ca_file),
        "PACKHORSE_MQTT_CERT_FILE": str(certificate),
        "PACKHORSE_MQTT_KEY_FILE": str(key),
    }


@contextmanager
def publishing(broker):
    """Give a function that publishes to `broker`."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    certificate, key = broker.make_client(CLOUD)
    client.tls_set(str(broker.ca_file), str(certificate), str(key))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()

    def publish(topic, *, retain=False, body=b"{}"):
        client.publish(topic, body, qos=1, retain=retain).wait_for_publish(10.0)

    try:
        yield publish
    finally:
        client.disconnect()
        client.loop_stop()
