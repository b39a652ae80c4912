"""A notice wakes the agent up; without a broker nothing is worse."""

import gc
import threading
import weakref
from dataclasses import replace

import pytest

from edge_runtime.agent.notices import Notices, notice_topic
from edge_runtime.agent_settings import MqttSettings
from tests.edge_runtime.agent.broker import publishing
from tests.edge_runtime.agent.gateway import wait_until
from tests.mosquitto import running_mosquitto


@pytest.fixture
def broker(tmp_path):
    with running_mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def publish(broker):
    with publishing(broker) as publish:
        yield publish


def mqtt(broker, protocol):
    certificate, key = broker.make_client("gateway-1")
    return MqttSettings(broker.url, protocol, broker.ca_file, certificate, key)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_notice_for_this_ring_and_model_wakes_the_agent(
    settings, broker, publish, protocol
):
    woken = threading.Event()
    notices = Notices(
        replace(settings, mqtt=mqtt(broker, protocol)), lambda **_: woken.set()
    )
    notices.start()
    try:
        publish("packhorse/rings/0/other", retain=True)
        publish("packhorse/rings/1/magika", retain=True)
        publish(notice_topic(0, "magika"), retain=True)
        assert woken.wait(20)

        woken.clear()
        publish(notice_topic(0, "magika"))
        assert woken.wait(20)
    finally:
        notices.stop()


def test_a_notice_for_others_does_not_wake_it(settings, broker, publish):
    woken = []
    notices = Notices(
        replace(settings, mqtt=mqtt(broker, "5")), lambda **_: woken.append(1)
    )
    notices.start()
    try:
        publish(notice_topic(0, "magika"), retain=True)
        wait_until(lambda: woken, "the first notice")
        publish("packhorse/rings/1/magika")
        publish(notice_topic(0, "magika"))
        wait_until(lambda: len(woken) > 1, "the second notice")
        assert len(woken) == 2
    finally:
        notices.stop()


def test_a_broker_that_is_not_there_hurts_nobody(settings):
    dead = MqttSettings("mqtt://127.0.0.1:1", "5", None, None, None)
    notices = Notices(replace(settings, mqtt=dead), lambda **_: None)
    notices.start()
    notices.stop()


def test_what_was_stopped_is_let_go_without_the_collector(settings):
    """In a circle, paho's sockets are dropped before the client that closes them."""
    dead = MqttSettings("mqtt://127.0.0.1:1", "5", None, None, None)
    notices = Notices(replace(settings, mqtt=dead), lambda **_: None)
    notices.start()
    seen = weakref.ref(notices)
    notices.stop()
    gc.disable()
    try:
        del notices
        wait_until(lambda: seen() is None, "it is gone")
    finally:
        gc.enable()


def test_without_a_broker_there_is_nothing_to_start(settings):
    notices = Notices(settings, lambda **_: None)
    notices.start()
    notices.stop()
