"""What the product leans on in an MQTT broker: ours, and mosquitto with TLS."""

import contextlib
import queue
import ssl
import sys
import time

import paho.mqtt.client as mqtt
import pytest

from local_cloud.ports import free_port
from tests.local_cloud.registry.stand_ins import Server, running, wait_for
from tests.mosquitto import CLOUD, Authority, running_mosquitto

RING = "packhorse/rings/0"
WAIT_S = 15.0


class Device:
    """A paho client that keeps what it hears."""

    def __init__(self, client_id, protocol):
        self.heard = queue.Queue()
        self.state = queue.Queue()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol
        )
        self.client.on_message = lambda _c, _u, message: self.heard.put(message)
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.state.put(code)
        self.client.on_subscribe = lambda *_: self.state.put("subscribed")

    def connect(self, port):
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        return self.state.get(timeout=WAIT_S)

    def subscribe(self, topic):
        self.client.subscribe(topic, qos=1)
        assert self.state.get(timeout=WAIT_S) == "subscribed"

    def publish(self, topic, payload, *, retain=False):
        sent = self.client.publish(topic, payload, qos=1, retain=retain)
        sent.wait_for_publish(WAIT_S)
        assert sent.is_published()

    def hear(self):
        message = self.heard.get(timeout=WAIT_S)
        return message.topic, message.payload, bool(message.retain)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def device():
    """Make devices that are closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def make(name, protocol=mqtt.MQTTv311):
            device = Device(name, protocol)
            stack.callback(device.close)
            return device

        yield make


class BrokerServer(Server):
    """Our broker; it is ready when a client gets in."""

    def _answers(self):
        assert self.process.poll() is None, "the broker ended by itself"
        probe = Device("probe", mqtt.MQTTv311)
        with contextlib.suppress(ConnectionRefusedError):
            is_in = probe.connect(self.port) == 0
            probe.close()
            return is_in
        return False


@pytest.fixture
def ours(tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "local_cloud.broker", "--port", str(port)]
    server = BrokerServer([*command, "--data", str(tmp_path / "broker")], port)
    with running(server):
        yield server


def test_a_ring_s_notice_reaches_a_device_that_comes_later(ours, device):
    cloud, gateway = device("cloud"), device("gateway-1")
    cloud.connect(ours.port)
    cloud.publish(RING, b'{"model":"magika"}', retain=True)

    gateway.connect(ours.port)
    gateway.subscribe(RING)

    assert gateway.hear() == (RING, b'{"model":"magika"}', True)


def test_a_notice_reaches_every_device_that_listens(ours, device):
    cloud, gateways = device("cloud"), [device("gateway-1"), device("gateway-2")]
    cloud.connect(ours.port)
    for gateway in gateways:
        gateway.connect(ours.port)
        gateway.subscribe("packhorse/rings/+")

    for number in range(20):
        cloud.publish(RING, str(number))

    for gateway in gateways:
        assert [gateway.hear()[1] for _ in range(20)] == [b"%d" % n for n in range(20)]


def test_a_retained_notice_survives_a_kill(ours, device, tmp_path):
    cloud, gateway = device("cloud"), device("gateway-1")
    cloud.connect(ours.port)
    cloud.publish(RING, b"2", retain=True)
    cloud.publish("packhorse/rings/1", b"1", retain=True)
    cloud.publish("packhorse/rings/1", b"", retain=True)
    kept = tmp_path / "broker" / "retained.json"
    wait_for(lambda: kept.exists() and b"rings/1" not in kept.read_bytes(), "the file")

    ours.kill()
    ours.start()

    gateway.connect(ours.port)
    gateway.subscribe("packhorse/rings/#")
    assert gateway.hear() == (RING, b"2", True)
    assert gateway.heard.empty()


def test_our_broker_refuses_mqtt_5(ours, device):
    gateway = device("gateway-1", mqtt.MQTTv5)

    assert gateway.connect(ours.port).is_failure


def test_our_broker_ends_by_itself_when_told_to(ours):
    assert ours.stop() == 0


@pytest.fixture
def mosquitto(tmp_path):
    with running_mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def tls_device(mosquitto, device):
    """Make MQTT 5 devices with a certificate, of the broker's authority or another."""

    def make(name, files=None):
        made = device(name, mqtt.MQTTv5)
        certificate, key = files or mosquitto.make_client(name)
        made.client.tls_set(str(mosquitto.ca_file), str(certificate), str(key))
        return made

    return make


def test_mosquitto_keeps_a_ring_s_notice_for_a_later_device(mosquitto, tls_device):
    cloud, gateway = tls_device(CLOUD), tls_device("gateway-1")
    cloud.connect(mosquitto.port)
    cloud.publish(RING, b"2", retain=True)

    gateway.connect(mosquitto.port)
    gateway.subscribe(RING)

    assert gateway.hear() == (RING, b"2", True)


def test_mosquitto_keeps_each_device_to_its_own_topics(mosquitto, tls_device):
    cloud, gateway = tls_device(CLOUD), tls_device("gateway-1")
    for client in (cloud, gateway):
        client.connect(mosquitto.port)
    cloud.subscribe("#")
    gateway.subscribe("devices/#")

    gateway.publish("devices/gateway-2/status", b"forged")
    gateway.publish(RING, b"forged")
    gateway.publish("devices/gateway-1/status", b"own")
    cloud.publish("devices/gateway-2/command", b"for another")
    cloud.publish("devices/gateway-1/command", b"for it")

    # Order is kept, so what was heard first shows what was dropped before it.
    assert cloud.hear()[1] == b"own"
    assert [gateway.hear()[1] for _ in range(2)] == [b"own", b"for it"]


def test_mosquitto_refuses_a_device_without_a_certificate(mosquitto, device):
    gateway = device("gateway-1", mqtt.MQTTv5)
    gateway.client.tls_set(str(mosquitto.ca_file))

    assert was_refused(gateway, mosquitto.port)


def test_mosquitto_refuses_a_certificate_of_another_authority(
    mosquitto, tls_device, tmp_path
):
    files = Authority.make("foreign").issue(tmp_path, "gateway-1", is_server=False)

    assert was_refused(tls_device("gateway-1", files), mosquitto.port)


def was_refused(gateway, port):
    """Tell whether the broker broke the connection off before it let anyone in."""
    try:
        gateway.client.connect("127.0.0.1", port)
        deadline = time.monotonic() + WAIT_S
        while gateway.client.loop(timeout=0.1) == mqtt.MQTT_ERR_SUCCESS:
            assert time.monotonic() < deadline, "neither refused nor let in"
            if not gateway.state.empty():
                return False
    except (ssl.SSLError, ConnectionError):
        return True
    return True
