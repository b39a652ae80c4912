"""Notices over real brokers: mosquitto with MQTT 5 and TLS, amqtt with 3.1.1."""

import json
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from functions.adapters import mqtt
from functions.adapters.mqtt import Broker, notice_topic
from functions.errors import UpstreamUnavailableError
from functions.setting_values import BrokerSettings
from local_cloud.ports import free_port
from tests.mosquitto import CLOUD, running_mosquitto

NOWHERE = BrokerSettings("mqtt://127.0.0.1:1", "5", "", "", "")


def settings_for(broker):
    certificate, key = broker.make_client(CLOUD)
    url = f"mqtts://127.0.0.1:{broker.port}"
    return BrokerSettings(url, "5", str(broker.ca_file), str(certificate), str(key))


def retained(settings, topic):
    """Return what a client that comes later finds on a topic."""
    came, messages = threading.Event(), []
    url = urlsplit(settings.url)
    is_new = settings.protocol == "5"
    protocol = MQTTProtocolVersion.MQTTv5 if is_new else MQTTProtocolVersion.MQTTv311
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
    if url.scheme == "mqtts":
        client.tls_set(settings.ca_file, settings.cert_file, settings.key_file)

    def take(_client, _userdata, message):
        messages.append(message)
        came.set()

    client.on_message = take
    client.on_connect = lambda c, *_: c.subscribe(topic, qos=1)
    client.connect(url.hostname, url.port)
    client.loop_start()
    assert came.wait(10), "nothing is retained"
    client.disconnect()
    client.loop_stop()
    return messages[0]


def test_each_ring_finds_its_notice_whenever_it_comes(tmp_path):
    with running_mosquitto(tmp_path) as broker:
        settings = settings_for(broker)

        told = Broker(settings).notify([0, 1], model="magika", sequence=7)

        notice = retained(settings, notice_topic(1, "magika"))
        assert told == 2
        assert notice.topic == "packhorse/rings/1/magika"
        assert json.loads(notice.payload) == {"model": "magika", "sequence": 7}
        assert (notice.qos, notice.retain) == (1, True)


def test_a_later_notice_takes_the_place_of_an_earlier_one(tmp_path):
    with running_mosquitto(tmp_path) as broker:
        settings = settings_for(broker)
        Broker(settings).notify([0], model="magika", sequence=7)
        Broker(settings).notify([0], model="magika", sequence=8)

        notice = retained(settings, notice_topic(0, "magika"))

        assert json.loads(notice.payload)["sequence"] == 8


def test_an_older_broker_is_spoken_to_in_its_own_version(tmp_path):
    command = [sys.executable, "-m", "local_cloud.broker"]
    process = subprocess.Popen(
        [*command, "--port", str(free_port()), "--data", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = json.loads(process.stdout.readline())["url"]
        settings = BrokerSettings(url, "3.1.1", "", "", "")

        assert Broker(settings).notify([0], model="magika", sequence=1) == 1
        assert retained(settings, notice_topic(0, "magika")).retain
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def test_without_a_broker_nobody_is_told(tmp_path):
    nobody = BrokerSettings("", "5", "", "", "")

    assert Broker(nobody).notify([0], model="magika", sequence=1) == 0
    assert Broker(NOWHERE).notify([], model="magika", sequence=1) == 0


def test_a_broker_that_is_away_is_unavailable():
    with pytest.raises(UpstreamUnavailableError, match="cannot be reached"):
        Broker(NOWHERE).notify([0], model="magika", sequence=1)


def test_a_broker_that_lets_nobody_in_takes_no_notice(tmp_path, monkeypatch):
    monkeypatch.setattr(mqtt, "PUBLISH_TIMEOUT_S", 0.5)
    with running_mosquitto(tmp_path) as broker:
        strange = BrokerSettings(
            f"mqtts://name:word@127.0.0.1:{broker.port}",
            "5",
            str(broker.ca_file),
            "",
            "",
        )

        with pytest.raises(UpstreamUnavailableError):
            Broker(strange).notify([0], model="magika", sequence=1)
