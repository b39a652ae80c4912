"""Rings are told over MQTT; a notice that says nothing is acknowledged."""

import json

import pytest

from tests.functions.adapters.test_mqtt import retained, settings_for
from tests.mosquitto import running_mosquitto

EVENT = {"model": "magika", "sequence": 3, "rings": [0, 4]}


def test_every_ring_of_the_event_gets_a_notice(push, tmp_path, monkeypatch):
    with running_mosquitto(tmp_path) as broker:
        settings = settings_for(broker)
        monkeypatch.setenv("MQTT_URL", settings.url)
        monkeypatch.setenv("MQTT_CA_FILE", settings.ca_file)
        monkeypatch.setenv("MQTT_CERT_FILE", settings.cert_file)
        monkeypatch.setenv("MQTT_KEY_FILE", settings.key_file)

        reply = push("notify_devices", json.dumps(EVENT).encode())

        assert reply.status_code == 200
        assert retained(settings, "packhorse/rings/4/magika").retain


def test_without_a_broker_the_event_is_done(push, monkeypatch):
    monkeypatch.delenv("MQTT_URL", raising=False)

    assert push("notify_devices", json.dumps(EVENT).encode()).status_code == 200


def test_a_broker_that_is_away_makes_the_event_come_back(push, monkeypatch):
    monkeypatch.setenv("MQTT_URL", "mqtt://127.0.0.1:1")

    assert push("notify_devices", json.dumps(EVENT).encode()).status_code == 503


@pytest.mark.parametrize(
    "change",
    [{"rings": ["0"]}, {"rings": [100]}, {"sequence": 0}, {"model": "-"}, {"x": 1}],
    ids=str,
)
def test_an_event_that_says_nothing_true_is_acknowledged(push, monkeypatch, change):
    monkeypatch.setenv("MQTT_URL", "mqtt://127.0.0.1:1")

    body = json.dumps({**EVENT, **change}).encode()

    assert push("notify_devices", body).status_code == 200
