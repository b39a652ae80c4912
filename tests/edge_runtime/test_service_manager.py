"""What systemd hears of a service."""

import os
import socket

import pytest

from edge_runtime.service_manager import BEAT_S, ServiceManager, service_manager
from tests.edge_runtime.agent.gateway import wait_until
from tests.notify_socket import NotifySocket


@pytest.fixture
def listening(tmp_path):
    with NotifySocket(tmp_path) as listening:
        yield listening


def test_each_word_is_one_datagram(listening):
    manager = service_manager(listening.environment(watchdog_s=10))
    manager.ready("magika@7 serves")
    manager.alive()
    manager.say("magika@8 serves")
    manager.stopping()

    wait_until(lambda: len(listening.said) == 4, "all is heard")
    assert listening.said == [
        "READY=1\nSTATUS=magika@7 serves",
        "WATCHDOG=1",
        "STATUS=magika@8 serves",
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_an_abstract_socket_is_reached_too():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0packhorse-test-{os.getpid()}")
        service_manager({"NOTIFY_SOCKET": f"@packhorse-test-{os.getpid()}"}).ready()
        listener.settimeout(5)
        assert listener.recv(100) == b"READY=1\nSTATUS="


def test_signs_of_life_are_not_sent_more_often_than_needed(listening):
    now = [0.0]
    manager = ServiceManager(listening.path, 10.0, clock=lambda: now[0])
    for _ in range(100):
        manager.alive()
    now[0] += BEAT_S
    manager.alive()
    manager.stopping()
    wait_until(lambda: listening.has("STOPPING=1"), "all is heard")
    assert listening.count("WATCHDOG=1") == 2


def test_what_has_not_changed_is_not_said_again(listening):
    manager = service_manager(listening.environment(watchdog_s=10))
    for _ in range(3):
        manager.say("waits")
    manager.stopping()
    wait_until(lambda: listening.has("STOPPING=1"), "all is heard")
    assert listening.count("STATUS=waits") == 1


def test_words_cannot_become_orders(listening):
    service_manager(listening.environment(watchdog_s=10)).say(
        "a\nREADY=1\n" + "x" * 999
    )
    wait_until(lambda: listening.said, "it is heard")
    assert not listening.has("READY=1")
    assert len(listening.said[0]) < 400


@pytest.mark.parametrize(
    "values",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}],
    ids=["none", "empty", "no path"],
)
def test_without_a_service_manager_nothing_happens(values):
    manager = service_manager({**values, "WATCHDOG_USEC": "1000000"})
    manager.ready("ready")
    manager.alive()


def test_a_service_manager_that_is_gone_hurts_nobody(tmp_path):
    service_manager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("ready")


@pytest.mark.parametrize(
    ("values", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_a_watchdog_is_heeded_by_the_process_that_it_watches(
    listening, values, watchdog_s
):
    manager = service_manager({"NOTIFY_SOCKET": listening.path, **values})
    assert manager.watchdog_s == watchdog_s
