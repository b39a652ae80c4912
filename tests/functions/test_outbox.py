"""Events leave once each, however many there are and whoever sends them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from functions import outbox
from functions.adapters.pubsub import Publisher
from packhorse.names import Release

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def publisher(project):
    return Publisher(project)


def register(ledger, version, variants):
    ledger.register_release(
        Release("magika", version), digest="sha256:x", card={}, variants=variants, at=AT
    )


def read_all(topics, name):
    found = []
    while bodies := topics.read(name):
        found += bodies
    return found


def test_more_events_than_a_batch_all_leave(ledger, topics, publisher, monkeypatch):
    monkeypatch.setattr(outbox, "BATCH_EVENTS", 3)
    register(ledger, 1, [f"v{number}" for number in range(10)])

    assert outbox.flush(ledger, publisher) == 10

    assert len(read_all(topics, "package")) == 10
    assert outbox.flush(ledger, publisher) == 0


def test_several_senders_at_once_lose_nothing(ledger, topics, publisher):
    def send(version):
        register(ledger, version, ["fp32"])
        outbox.flush(ledger, publisher)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(1, 25)))

    # Twice is allowed; every stage can be repeated.
    assert len(set(read_all(topics, "package"))) == 24
    assert ledger.pending_events(1) == []
