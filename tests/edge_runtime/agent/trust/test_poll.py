"""A steady poll is one question, and its answer is believed no longer than it may."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edge_runtime.agent.clock import Clock
from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.trust.trust import Trust
from packhorse.assignment import Offer, RolloutDocument
from packhorse.errors import UntrustedError
from packhorse.trust_root import SIGNED_AT
from tests.edge_runtime.agent.bundles import release
from tests.standing_clock import StandingClock

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TIMESTAMP = "/metadata/timestamp.json"


@pytest.fixture
def wall():
    """The machine's own clock."""
    return StandingClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def new_trust(state_dir, server, repository, wall):
    """Return a function that starts a gateway anew."""

    def new_trust():
        clock = Clock(state_dir, wall_time=wall, is_synchronised=lambda: False)
        return Trust(state_dir, server.url, repository.root_bytes, Web(), clock)

    return new_trust


@pytest.fixture
def trust(new_trust):
    return new_trust()


@pytest.fixture
def document(repository):
    bundle = repository.publish_bundle(release(1), b"one")
    stable = Offer(release(1), {"fp32": bundle})
    document = RolloutDocument("magika", 3, stable=stable)
    repository.publish_rollout(document)
    return document


@pytest.fixture
def asked(server):
    """Return a function that tells what was asked for since it was last called."""

    def asked():
        paths = [path for path, _ in server.requests]
        server.requests.clear()
        return paths

    return asked


def test_a_steady_poll_is_one_conditional_request(trust, document, asked):
    truth = trust.refresh("magika")
    asked()
    traffic = trust.web.traffic
    before = replace(traffic)

    assert trust.refresh("magika") is truth
    assert asked() == [TIMESTAMP]
    assert traffic.requests - before.requests == 1
    assert traffic.received_bytes - before.received_bytes < 250
    assert traffic.sent_bytes - before.sent_bytes < 250


def test_a_server_that_knows_no_conditions_costs_a_timestamp(
    trust, document, server, asked
):
    server.faults.no_etag = True
    truth = trust.refresh("magika")
    asked()
    before = trust.web.traffic.received_bytes

    assert trust.refresh("magika") is truth
    assert asked() == [TIMESTAMP]
    assert trust.web.traffic.received_bytes - before < 1_000


def test_a_new_timestamp_alone_costs_less_than_a_kilobyte(
    trust, document, repository, asked
):
    trust.refresh("magika")
    repository.refresh_timestamp()
    asked()
    before = trust.web.traffic.received_bytes

    assert trust.refresh("magika").document == document
    assert asked() == [TIMESTAMP, "/metadata/2.root.json"]
    assert trust.web.traffic.received_bytes - before < 1_000


def test_a_poll_that_finds_nothing_new_leaves_the_disk_alone(
    trust, document, state_dir
):
    trust.refresh("magika")
    before = sorted((p, p.stat().st_mtime_ns) for p in state_dir.rglob("*"))

    trust.refresh("magika")

    assert sorted((p, p.stat().st_mtime_ns) for p in state_dir.rglob("*")) == before


def test_what_is_new_is_seen_by_the_next_poll(trust, document, repository):
    trust.refresh("magika")
    repository.publish_rollout(replace(document, sequence=4))

    assert trust.refresh("magika").document.sequence == 4


def test_a_server_that_always_says_nothing_new_is_believed_until_the_expiry(
    trust, document, repository, server, wall
):
    repository.refresh_timestamp(expires=wall.now + 6 * HOUR)
    trust.refresh("magika")
    repository.publish_rollout(replace(document, sequence=4))
    server.faults.not_modified = True

    wall.now += 5 * HOUR
    assert trust.refresh("magika").document == document

    wall.now += HOUR
    assert trust.refresh("magika").document.sequence == 4


def test_nothing_is_believed_once_the_last_timestamp_expired(
    trust, document, repository, wall
):
    repository.refresh_timestamp(expires=wall.now + 6 * HOUR)
    trust.refresh("magika")
    wall.now += 6 * HOUR

    with pytest.raises(UntrustedError, match="expired"):
        trust.refresh("magika")


def test_nothing_is_believed_once_a_role_below_the_timestamp_expired(
    trust, document, repository, wall
):
    repository.signed["rollouts"].expires = wall.now + HOUR
    repository.publish("rollouts")
    assert trust.refresh("magika").valid_until == wall.now + HOUR
    wall.now += 2 * HOUR

    with pytest.raises(UntrustedError, match="expired"):
        trust.refresh("magika")


def test_a_clock_that_is_set_back_does_not_make_it_fresh_again(
    trust, document, repository, wall, new_trust
):
    signed_at = wall.now + 10 * DAY
    timestamp = repository.signed["timestamp"]
    timestamp.unrecognized_fields[SIGNED_AT] = signed_at.isoformat()
    repository.refresh_timestamp(expires=signed_at + DAY)
    trust.refresh("magika")
    repository.refresh_timestamp(expires=signed_at - HOUR)
    wall.now -= 20_000 * DAY

    for gateway in (trust, new_trust()):
        with pytest.raises(UntrustedError, match="expired"):
            gateway.refresh("magika")


def test_a_gateway_that_was_off_for_90_days_recovers_by_itself(
    trust, document, repository, wall, new_trust
):
    repository.refresh_timestamp(expires=wall.now + DAY)
    trust.refresh("magika")
    wall.now += 90 * DAY
    gateway = new_trust()

    with pytest.raises(UntrustedError, match="expired"):
        gateway.refresh("magika")
    assert gateway.accepted("magika") == document

    repository.refresh_timestamp(expires=wall.now + DAY)
    assert gateway.refresh("magika").document == document


def test_a_gateway_in_1970_recovers_once_it_has_metadata(
    document, repository, wall, new_trust
):
    today = wall.now
    repository.signed["timestamp"].unrecognized_fields[SIGNED_AT] = today.isoformat()
    repository.refresh_timestamp(expires=today + DAY)
    wall.now = datetime(1970, 1, 1, tzinfo=UTC)
    gateway = new_trust()

    assert gateway.refresh("magika").document == document
    assert gateway.clock.now() == today


@pytest.mark.parametrize("signed_at", ["2036-01-01T00:00:00", "9999-12-31T23:59:58"])
def test_a_thief_who_signed_the_future_is_forgotten_with_his_key(
    trust, document, repository, wall, signed_at
):
    timestamp = repository.signed["timestamp"]
    timestamp.unrecognized_fields[SIGNED_AT] = f"{signed_at}+00:00"
    last = datetime.max.replace(tzinfo=UTC, microsecond=0)
    repository.refresh_timestamp(expires=last)
    with pytest.raises(UntrustedError, match="expired"):
        # Not even the root is valid for so long.
        [trust.refresh("magika"), trust.refresh("magika")]

    del timestamp.unrecognized_fields[SIGNED_AT]
    repository.rotate("timestamp")
    repository.refresh_timestamp()

    assert trust.refresh("magika").document == document
    assert trust.clock.now() == wall.now


@pytest.mark.parametrize("said", ["tomorrow", "9999-99-99", 7, None, "2999-01-01"])
def test_a_signing_time_that_cannot_be_is_not_noted(
    trust, document, repository, wall, said
):
    repository.signed["timestamp"].unrecognized_fields[SIGNED_AT] = said
    repository.refresh_timestamp(expires=wall.now + DAY)

    assert trust.refresh("magika").document == document
    assert trust.clock.now() == wall.now


def test_what_was_refused_once_does_not_bring_the_former_truth_back(
    trust, document, repository
):
    path = repository.folder / "metadata" / "timestamp.json"
    trust.refresh("magika")
    former = path.read_bytes()
    repository.publish_rollout(replace(document, sequence=2))
    with pytest.raises(UntrustedError, match="sequence"):
        trust.refresh("magika")

    path.write_bytes(former)

    with pytest.raises(UntrustedError, match="version"):
        trust.refresh("magika")


def test_a_root_without_a_new_timestamp_is_seen_within_a_day(
    trust, document, repository, asked, wall
):
    repository.refresh_timestamp(expires=wall.now + 3 * DAY)
    trust.refresh("magika")
    repository.bump("root")
    asked()

    wall.now += DAY - HOUR
    trust.refresh("magika")
    assert asked() == [TIMESTAMP]

    wall.now += HOUR
    trust.refresh("magika")
    assert "/metadata/2.root.json" in asked()


def test_a_timestamp_fetched_before_its_key_was_replaced_is_fetched_again(
    trust, document, repository, server
):
    trust.refresh("magika")
    repository.refresh_timestamp()
    former = (repository.folder / "metadata" / "timestamp.json").read_bytes()
    repository.rotate("timestamp")
    repository.refresh_timestamp()
    server.faults.first[TIMESTAMP] = former

    assert trust.refresh("magika").document == document


def test_a_server_that_says_304_to_whoever_did_not_ask_is_no_use(trust, server):
    server.faults.status = 304

    with pytest.raises(UnavailableError, match="304"):
        trust.refresh("magika")


@pytest.mark.parametrize("etag", ["plain", '"a', '"\xe4"', '"' + "x" * 300 + '"'])
def test_a_name_that_is_none_is_not_sent_back(trust, document, server, etag):
    server.faults.etag = etag
    truth = trust.refresh("magika")

    assert trust.refresh("magika") is truth
    assert server.conditions[-1] == ""


def test_one_connection_serves_all_polls(trust, document, repository, server):
    for _ in range(3):
        trust.refresh("magika")
    repository.refresh_timestamp()
    trust.refresh("magika")

    assert server.connections == 1


def test_two_who_share_a_pool_are_counted_apart(
    state_dir, repository, server, document
):
    pool = Web().pool
    webs = [Web(pool=pool), Web(pool=pool)]
    for number, web in enumerate(webs):
        trust = Trust(state_dir / str(number), server.url, repository.root_bytes, web)
        for _ in range(number + 1):
            trust.refresh("magika")

    assert webs[1].traffic.requests == webs[0].traffic.requests + 1
