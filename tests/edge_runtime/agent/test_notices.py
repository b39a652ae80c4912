"""A notice wakes the agent up; without a broker nothing is worse."""

import gc
import threading
import time
import weakref
from dataclasses import replace

import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_runtime.agent.notices import (
    NOTICE_GAP_S,
    PACKET_MAX_BYTES,
    CappedClient,
    Notices,
    make_client,
    notice_topic,
)
from edge_runtime.settings.agent_settings import MqttSettings
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


@pytest.fixture
def rung(settings, broker):
    """Return a function that listens, and gives what the bell was told, and when."""
    started = []

    def listen(protocol="5"):
        calls = []
        notices = Notices(
            replace(settings, mqtt=mqtt(broker, protocol)),
            lambda *, is_old: calls.append((time.monotonic(), is_old)),
        )
        notices.start()
        started.append(notices)
        return calls

    yield listen
    for notices in started:
        notices.stop()


def test_what_the_broker_kept_is_told_apart_from_what_is_new(rung, publish):
    publish(notice_topic(0, "magika"), retain=True)
    calls = rung()
    wait_until(lambda: calls, "the notice that was kept")
    publish(notice_topic(0, "magika"), retain=True)
    wait_until(lambda: len(calls) > 1, "the new one")
    assert [is_old for _, is_old in calls] == [True, False]


def test_a_flood_is_read_slowly_and_waits_at_the_broker(rung, publish):
    calls = rung()
    publish(notice_topic(0, "magika"), retain=True)
    wait_until(lambda: calls, "it listens")
    for _ in range(50):
        publish(notice_topic(0, "magika"))
    wait_until(lambda: len(calls) > 15, "some of the flood")
    took_s = calls[15][0] - calls[5][0]
    assert took_s > 10 * NOTICE_GAP_S * 0.9


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_huge_notice_is_not_read(rung, publish, protocol):
    calls = rung(protocol)
    publish(notice_topic(0, "magika"), retain=True)
    wait_until(lambda: calls, "it listens")
    publish(notice_topic(0, "magika"), body=bytes(50 * PACKET_MAX_BYTES))
    # Also one who is cut off for it comes back, and hears the next.
    before = len(calls)
    wait_until(
        lambda: publish(notice_topic(0, "magika")) or len(calls) > before,
        "a small one comes through",
    )


def test_a_packet_that_says_it_is_huge_is_given_up_before_it_is_read():
    client = CappedClient(CallbackAPIVersion.VERSION2)
    with pytest.raises(ConnectionError, match="may have 16384 bytes"):
        client._sock_recv(PACKET_MAX_BYTES + 1)  # noqa: SLF001 - paho's


def test_gateways_do_not_come_back_to_a_broker_in_step(settings):
    dead = MqttSettings("mqtt://127.0.0.1:1", "5", None, None, None)
    waits = set()
    for _ in range(40):
        client = make_client("gateway-1", dead)
        waits.add(client._reconnect_max_delay)  # noqa: SLF001 - paho's
    assert len(waits) > 10
