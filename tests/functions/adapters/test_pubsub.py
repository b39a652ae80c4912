"""What `publish` returned for is in Pub/Sub; what it raised for may be."""

import pytest

from functions.adapters.pubsub import Event, Publisher
from functions.errors import UpstreamRefusedError, UpstreamUnavailableError


@pytest.fixture
def publisher(project):
    return Publisher(project)


def test_a_message_arrives_byte_for_byte(publisher, topics):
    publisher.publish("reports", b"\x00\xff{}")

    assert topics.read("reports") == [b"\x00\xff{}"]


def test_several_messages_leave_together(publisher, topics):
    publisher.publish_all(Event("advance", str(n).encode()) for n in range(5))
    publisher.publish_all([])

    assert sorted(topics.read("advance")) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_missing_topic_is_a_refusal(publisher):
    with pytest.raises(UpstreamRefusedError, match="404"):
        publisher.publish("missing", b"x")


def test_a_service_that_is_away_says_come_back(monkeypatch):
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")

    with pytest.raises(UpstreamUnavailableError):
        Publisher("demo").publish("reports", b"x")
