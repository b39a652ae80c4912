"""What becomes of a message over time, with the time given."""

import pytest
from google.pubsub_v1 import types

from local_cloud.pubsub import backlog, catalogue, messages, outcomes, rules
from local_cloud.pubsub.database import Database

NOW = 1_800_000_000.0
TOPIC = "projects/demo/topics/releases"
DEAD = "projects/demo/topics/dead-letters"


@pytest.fixture
def connection(tmp_path):
    database = Database(tmp_path / "pubsub.sqlite")
    with database.write() as connection:
        for name in (TOPIC, DEAD):
            catalogue.add_topic(connection, types.Topic(name=name))
        yield connection
    database.close()


def subscribe(connection, topic=TOPIC, name="reader", **fields):
    subscription = types.Subscription(
        name=f"projects/demo/subscriptions/{name}", topic=topic, **fields
    )
    rules.check_new_subscription(subscription)
    catalogue.add_subscription(connection, subscription)
    return subscription


def publish(connection, *datas, key="", at=NOW):
    published = [types.PubsubMessage(data=data, ordering_key=key) for data in datas]
    messages.publish(connection, TOPIC, published, at)


def lease(connection, subscription, at, limit=10):
    return backlog.lease(connection, subscription, limit=limit, deadline_s=10, now=at)


def datas(deliveries):
    return [each.message.data for each in deliveries]


def kept(connection):
    (count,) = connection.execute("SELECT count(*) FROM messages").fetchone()
    return count


def test_a_lease_that_runs_out_is_followed_by_another(connection):
    subscription = subscribe(connection)
    publish(connection, b"slow")

    first = lease(connection, subscription, NOW)
    early = lease(connection, subscription, NOW + 9)
    second = lease(connection, subscription, NOW + 10)

    assert [each.ack.attempt for each in first + second] == [1, 2]
    assert early == []


def test_an_extended_lease_lasts_longer(connection):
    subscription = subscribe(connection)
    publish(connection, b"slow")
    (delivery,) = lease(connection, subscription, NOW)

    outcomes.extend(connection, subscription, [delivery.ack], NOW + 60)

    assert lease(connection, subscription, NOW + 59) == []
    assert len(lease(connection, subscription, NOW + 60)) == 1


def test_a_retry_policy_puts_growing_pauses_between_attempts(connection):
    policy = {"minimum_backoff": {"seconds": 10}, "maximum_backoff": {"seconds": 40}}
    subscription = subscribe(connection, retry_policy=policy)
    publish(connection, b"unlucky")

    at = NOW
    for pause_s in (10, 20, 40, 40):
        (delivery,) = lease(connection, subscription, at)
        outcomes.fail(connection, subscription, [delivery.ack], at)
        assert lease(connection, subscription, at + pause_s - 0.1) == []
        at += pause_s


def test_the_nack_of_a_lease_that_ran_out_does_not_touch_the_next(connection):
    subscription = subscribe(connection)
    publish(connection, b"slow")
    (late,) = lease(connection, subscription, NOW)
    lease(connection, subscription, NOW + 10)

    outcomes.fail(connection, subscription, [late.ack], NOW + 11)

    assert lease(connection, subscription, NOW + 12) == []


def test_leases_that_run_out_count_as_attempts_until_the_message_is_a_dead_letter(
    connection,
):
    policy = {"dead_letter_topic": DEAD, "max_delivery_attempts": 5}
    subscription = subscribe(connection, dead_letter_policy=policy)
    graveyard = subscribe(connection, topic=DEAD, name="graveyard")
    publish(connection, b"poison")

    for attempt in range(5):
        lease(connection, subscription, NOW + 10 * attempt)
    outcomes.end_leases(connection, subscription, NOW + 50)

    assert lease(connection, subscription, NOW + 100) == []
    assert datas(lease(connection, graveyard, NOW + 100)) == [b"poison"]


def test_a_dead_letter_without_a_topic_stays_where_it_is(connection):
    policy = {"dead_letter_topic": DEAD, "max_delivery_attempts": 5}
    subscription = subscribe(connection, dead_letter_policy=policy)
    publish(connection, b"poison")
    catalogue.remove_topic(connection, DEAD)

    taken = [lease(connection, subscription, NOW + 10 * n) for n in range(7)]

    assert [len(each) for each in taken] == [1] * 7


def test_what_was_put_back_was_no_attempt(connection):
    subscription = subscribe(connection)
    publish(connection, b"later")
    (delivery,) = lease(connection, subscription, NOW)

    outcomes.put_back(connection, subscription, delivery.ack, NOW + 3)

    assert lease(connection, subscription, NOW + 2) == []
    assert lease(connection, subscription, NOW + 3)[0].ack.attempt == 1


def test_messages_with_one_ordering_key_are_leased_one_at_a_time(connection):
    subscription = subscribe(connection, enable_message_ordering=True)
    publish(connection, b"1", b"2", key="magika")
    publish(connection, b"other", key="silero")

    first = lease(connection, subscription, NOW)
    meanwhile = lease(connection, subscription, NOW + 1)
    outcomes.acknowledge(connection, subscription, [each.ack for each in first])
    second = lease(connection, subscription, NOW + 2)

    assert datas(first) == [b"1", b"other"]
    assert meanwhile == []
    assert datas(second) == [b"2"]


def test_a_message_is_forgotten_when_its_last_subscription_has_it(connection):
    first, second = subscribe(connection), subscribe(connection, name="second")
    publish(connection, b"shared")

    outcomes.acknowledge(connection, first, [lease(connection, first, NOW)[0].ack])
    after_first = kept(connection)
    outcomes.acknowledge(connection, second, [lease(connection, second, NOW)[0].ack])

    assert (after_first, kept(connection)) == (1, 0)


def test_a_message_that_nobody_subscribes_to_is_not_kept(connection):
    publish(connection, b"unheard")

    assert kept(connection) == 0


def test_a_deleted_subscription_leaves_nothing_behind(connection):
    subscription = subscribe(connection)
    publish(connection, b"1", b"2")

    catalogue.remove_subscription(connection, subscription.name)

    assert kept(connection) == 0


def test_a_message_is_dropped_when_it_is_too_old(connection):
    retention = {"message_retention_duration": {"seconds": 600}}
    subscription = subscribe(connection, **retention)
    publish(connection, b"old")
    publish(connection, b"young", at=NOW + 300)

    backlog.drop_old(connection, subscription, NOW + 601)

    assert datas(lease(connection, subscription, NOW + 601)) == [b"young"]


def test_one_answer_holds_no_more_than_a_publish_may(connection):
    subscription = subscribe(connection)
    publish(connection, *[bytes(4_000_000)] * 3)

    assert len(lease(connection, subscription, NOW)) == 2


def test_message_ids_grow_and_are_never_given_twice(connection):
    first = messages.publish(
        connection, TOPIC, [types.PubsubMessage(data=b"x") for _ in range(50)], NOW
    )
    second = messages.publish(connection, TOPIC, [types.PubsubMessage(data=b"x")], NOW)

    assert [*first, *second] == sorted({*first, *second})


def test_a_waiting_subscriber_learns_when_to_look_again(connection):
    subscription = subscribe(connection, enable_message_ordering=True)
    assert backlog.next_due_at(connection, subscription.name) is None
    publish(connection, b"1", b"2", key="magika")
    lease(connection, subscription, NOW)

    assert backlog.next_due_at(connection, subscription.name) == NOW + 10
