"""What Google's client finds, on our server and on Google's own emulator alike."""

import base64
import threading
from datetime import datetime

import pytest
from google.api_core import exceptions

from tests.local_cloud.pubsub.stand_ins import wait_for

ATTEMPTS = 5


def test_a_published_message_is_pulled_and_gone_once_acknowledged(cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    message_id = cloud.publish(topic, b"hello", kind="release")

    (received,) = cloud.pull(subscription)
    cloud.ack(subscription, received)

    assert received.message.data == b"hello"
    assert received.message.message_id == message_id
    assert dict(received.message.attributes) == {"kind": "release"}
    assert cloud.pull(subscription, at_once=True) == []


def test_messages_are_published_over_rest_too_on_the_same_port(cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    messages = [{"data": b"\x00one", "attributes": {"kind": "release"}}, {"data": b"2"}]
    client = cloud.rest_publisher()

    first = client.publish(topic=topic, messages=messages)
    second = client.publish(topic=topic, messages=[{"data": b"3"}])

    assert len({*first.message_ids, *second.message_ids}) == 3
    received = cloud.pull(subscription, 3)
    found = {each.message.data: dict(each.message.attributes) for each in received}
    assert found == {b"\x00one": {"kind": "release"}, b"2": {}, b"3": {}}


def test_a_topic_that_is_not_there_is_not_found_over_rest(cloud):
    with pytest.raises(exceptions.NotFound):
        cloud.rest_publisher().publish(
            topic=cloud.topic_name("nobody"), messages=[{"data": b"lost"}]
        )


def test_every_subscription_gets_its_own_copy(cloud):
    topic = cloud.topic()
    first, second = cloud.subscription(topic, "first"), cloud.subscription(topic, "two")
    cloud.publish(topic, b"copied")

    assert cloud.drain(first) == [b"copied"]
    assert cloud.drain(second) == [b"copied"]


def test_what_was_published_before_a_subscription_is_not_delivered_to_it(cloud):
    topic = cloud.topic()
    cloud.publish(topic, b"early")
    subscription = cloud.subscription(topic)
    cloud.publish(topic, b"late")

    assert cloud.drain(subscription) == [b"late"]


@pytest.mark.parametrize(
    "names", [("alpha", "beta", "gamma"), ("gamma", "beta", "alpha")]
)
def test_attributes_come_back_whatever_their_order(cloud, names):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    attributes = {name: f"value of {name}" for name in names}
    cloud.publish(topic, b"", **attributes)

    (received,) = cloud.pull(subscription)

    assert dict(received.message.attributes) == attributes
    assert received.message.data == b""


def test_a_nacked_message_is_delivered_again(cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    message_id = cloud.publish(topic)

    cloud.nack(subscription, cloud.pull(subscription)[0])
    (again,) = cloud.pull(subscription)

    assert again.message.message_id == message_id


def test_a_leased_message_is_not_given_to_another(cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    cloud.publish(topic)

    assert len(cloud.pull(subscription)) == 1
    assert cloud.pull(subscription, at_once=True) == []


def test_an_acknowledgement_may_be_repeated(cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    cloud.publish(topic)
    (received,) = cloud.pull(subscription)

    cloud.ack(subscription, received)
    cloud.ack(subscription, received)

    assert cloud.pull(subscription, at_once=True) == []


def test_a_message_that_is_never_taken_becomes_a_dead_letter(cloud):
    topic, dead = cloud.topic(), cloud.topic("dead-letters")
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": ATTEMPTS}
    graveyard = cloud.subscription(dead, "graveyard")
    subscription = cloud.subscription(topic, dead_letter_policy=policy)
    cloud.publish(topic, b"poison", kind="release")

    for _ in range(ATTEMPTS):
        (received,) = cloud.pull(subscription)
        cloud.nack(subscription, received)
    # The emulator looks for dead letters when it is asked for a message.
    assert cloud.pull(subscription, at_once=True) == []
    (letter,) = wait_for(lambda: cloud.pull(graveyard), "the dead letter")

    source = "CloudPubSubDeadLetterSource"
    attributes = dict(letter.message.attributes)
    assert letter.message.data == b"poison"
    assert attributes["kind"] == "release"
    assert attributes[f"{source}DeliveryCount"] == str(ATTEMPTS)
    assert attributes[f"{source}Subscription"] == "reader"
    assert attributes[f"{source}SubscriptionProject"] == cloud.project
    assert datetime.fromisoformat(attributes[f"{source}TopicPublishTime"])
    assert cloud.pull(subscription, at_once=True) == []


def test_a_push_has_googles_envelope(cloud, endpoint):
    topic = cloud.topic()
    subscription = cloud.push(topic, endpoint.url)
    message_id = cloud.publish(topic, b"\x00\xffraw", kind="release")

    post = endpoint.wait_for_posts(1)[0]

    message = post.body["message"]
    assert set(post.body) == {"message", "subscription"}
    assert post.body["subscription"] == subscription
    assert message["messageId"] == message["message_id"] == message_id
    assert message["publishTime"] == message["publish_time"]
    assert datetime.fromisoformat(message["publishTime"])
    assert base64.b64decode(message["data"]) == b"\x00\xffraw"
    assert message["attributes"] == {"kind": "release"}
    assert post.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_push_that_is_refused_comes_again(cloud, endpoints, status):
    endpoint = endpoints(status, status, 204)
    topic = cloud.topic()
    subscription = cloud.push(topic, endpoint.url)
    message_id = cloud.publish(topic)

    posts = endpoint.wait_for_posts(3)

    assert [each.body["message"]["messageId"] for each in posts] == [message_id] * 3
    cloud.subscriber.modify_push_config(subscription=subscription, push_config={})
    assert cloud.pull(subscription, at_once=True) == []


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_push_that_is_accepted_does_not_come_again(cloud, endpoints, status):
    endpoint = endpoints(status)
    topic = cloud.topic()
    cloud.push(topic, endpoint.url)
    cloud.publish(topic, b"first")
    endpoint.wait_for_posts(1)
    cloud.publish(topic, b"second")

    endpoint.wait_for_posts(2)

    assert len({each.body["message"]["messageId"] for each in endpoint.posts}) == 2


def test_a_push_subscription_can_be_made_one_to_pull_from(cloud, endpoints):
    endpoint = endpoints(500)
    topic = cloud.topic()
    subscription = cloud.push(topic, endpoint.url)
    cloud.publish(topic, b"moved")
    endpoint.wait_for_posts(1)

    cloud.subscriber.modify_push_config(subscription=subscription, push_config={})

    (received,) = wait_for(lambda: cloud.pull(subscription), "the message to pull")
    assert received.message.data == b"moved"


def test_a_streaming_pull_brings_everything(cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    # More than the client lets be outstanding at once.
    expected = {str(number).encode() for number in range(1200)}
    taken, is_done = set(), threading.Event()

    def take(message):
        taken.add(message.data)
        message.ack()
        if taken == expected:
            is_done.set()

    stream = cloud.subscriber.subscribe(subscription, take)
    for future in [cloud.publisher.publish(topic, data) for data in expected]:
        future.result(timeout=10)
    is_done.wait(20)
    stream.cancel()
    stream.result(timeout=20)

    assert taken == expected


def test_a_streaming_pull_brings_a_nacked_message_again(cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    taken, is_done = [], threading.Event()

    def take(message):
        taken.append(message.message_id)
        if len(taken) == 1:
            message.nack()
        else:
            message.ack()
            is_done.set()

    stream = cloud.subscriber.subscribe(subscription, take)
    message_id = cloud.publish(topic)
    is_done.wait(20)
    stream.cancel()
    stream.result(timeout=20)

    assert taken == [message_id, message_id]


def test_messages_with_one_ordering_key_come_in_order(cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic, enable_message_ordering=True)
    messages = [{"data": str(n).encode(), "ordering_key": "magika"} for n in range(6)]
    cloud.publish_messages(topic, *messages)

    taken = take_all(cloud, subscription, 6)

    assert taken == [str(n).encode() for n in range(6)]


def take_all(cloud, subscription, count):
    taken = []
    while len(taken) < count:
        for received in cloud.pull(subscription, 10):
            taken.append(received.message.data)
            cloud.ack(subscription, received)
    return taken


def test_a_topic_or_subscription_is_made_once(cloud):
    topic = cloud.topic()
    cloud.subscription(topic)

    with pytest.raises(exceptions.AlreadyExists):
        cloud.topic()
    with pytest.raises(exceptions.AlreadyExists):
        cloud.subscription(topic)


def test_what_is_not_there_is_not_found(cloud):
    missing = cloud.topic_name("missing")
    subscriber, gone = cloud.subscriber, cloud.subscription_name("gone")

    for attempt in (
        lambda: cloud.publish(missing),
        lambda: cloud.publisher.get_topic(topic=missing),
        lambda: cloud.publisher.delete_topic(topic=missing),
        lambda: cloud.subscription(missing),
        lambda: subscriber.get_subscription(subscription=gone),
        lambda: subscriber.delete_subscription(subscription=gone),
        lambda: cloud.pull(gone),
    ):
        with pytest.raises(exceptions.NotFound):
            attempt()


def test_what_can_never_be_right_is_an_invalid_argument(cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    too_long = {"minimum_backoff": {"seconds": 700}}

    for attempt in (
        lambda: cloud.topic("ab"),
        lambda: cloud.topic("google-like"),
        lambda: cloud.publish(topic, b""),
        lambda: cloud.pull(subscription, 0),
        lambda: cloud.subscription(topic, "slow", ack_deadline_seconds=601),
        lambda: cloud.subscription(topic, "late", retry_policy=too_long),
        lambda: cloud.push(topic, "no url", "lost"),
        lambda: cloud.subscriber.acknowledge(subscription=subscription, ack_ids=["x"]),
        lambda: cloud.subscriber.acknowledge(subscription=subscription, ack_ids=[]),
    ):
        with pytest.raises(exceptions.InvalidArgument):
            attempt()


def test_topics_and_subscriptions_are_listed_page_by_page(cloud):
    topics = sorted(cloud.topic(f"topic-{n}") for n in range(5))
    readers = sorted(cloud.subscription(topics[0], f"reader-{n}") for n in range(3))
    request = {"project": f"projects/{cloud.project}", "page_size": 2}

    listed = [topic.name for topic in cloud.publisher.list_topics(request=request)]
    subscriptions = cloud.subscriber.list_subscriptions(request=request)
    of_topic = cloud.publisher.list_topic_subscriptions(topic=topics[0])

    assert sorted(listed) == topics
    assert sorted(each.name for each in subscriptions) == readers
    assert sorted(of_topic) == readers


def test_a_subscription_outlives_its_topic_with_what_it_holds(cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    cloud.publish(topic, b"held")

    cloud.publisher.delete_topic(topic=topic)

    shown = cloud.subscriber.get_subscription(subscription=subscription)
    assert shown.topic == "_deleted-topic_"
    assert cloud.drain(subscription) == [b"held"]


def test_a_new_subscription_shows_googles_defaults(cloud):
    subscription = cloud.subscription(cloud.topic())

    shown = cloud.subscriber.get_subscription(subscription=subscription)

    assert shown.ack_deadline_seconds == 10
    assert shown.message_retention_duration.days == 7


def test_a_dead_letter_policy_can_be_changed(cloud):
    topic, dead = cloud.topic(), cloud.topic("dead-letters")
    subscription = cloud.subscription(topic)
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": 7}

    cloud.subscriber.update_subscription(
        request={
            "subscription": {"name": subscription, "dead_letter_policy": policy},
            "update_mask": {"paths": ["dead_letter_policy"]},
        }
    )

    shown = cloud.subscriber.get_subscription(subscription=subscription)
    assert shown.dead_letter_policy.max_delivery_attempts == 7
