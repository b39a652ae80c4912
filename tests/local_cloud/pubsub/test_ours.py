"""What Google's service does and its emulator does not, and what we refuse."""

import itertools
import json
import socket

import google.auth.jwt
import pytest
from google.api_core import exceptions

from local_cloud.ports import free_port
from tests.local_cloud.jwks import public_keys
from tests.local_cloud.pubsub.cloud import Cloud
from tests.local_cloud.pubsub.stand_ins import (
    StandIn,
    running,
    wait_for,
)

PUSHER = "push@packhorse-demo.iam.gserviceaccount.com"
AUDIENCE = "https://register-release.example"


def test_a_filter_keeps_other_messages_away(our_cloud):
    topic = our_cloud.topic()
    wanted = 'attributes.kind = "release"'
    subscription = our_cloud.subscription(topic, filter=wanted)
    our_cloud.publish(topic, b"other", kind="blob")
    our_cloud.publish(topic, b"mine", kind="release")

    assert our_cloud.drain(subscription) == [b"mine"]


def test_a_malformed_filter_is_refused(our_cloud):
    with pytest.raises(exceptions.InvalidArgument, match="kind like"):
        our_cloud.subscription(our_cloud.topic(), filter="kind like release")


def test_a_push_carries_a_token_that_google_auth_accepts(our_cloud, identity, endpoint):
    topic = our_cloud.topic()
    our_cloud.push(topic, endpoint.url, email=PUSHER, audience=AUDIENCE)
    our_cloud.publish(topic)

    post = endpoint.wait_for_posts(1)[0]

    scheme, token = post.headers["Authorization"].split()
    claims = google.auth.jwt.decode(
        token, certs=public_keys(identity.port), audience=AUDIENCE
    )
    assert scheme == "Bearer"
    assert claims["email"] == PUSHER
    assert claims["email_verified"] is True
    assert claims["iss"] == f"http://127.0.0.1:{identity.port}"


def test_without_an_audience_the_token_is_for_the_endpoint(
    our_cloud, identity, endpoint
):
    topic = our_cloud.topic()
    our_cloud.push(topic, endpoint.url, email=PUSHER)
    our_cloud.publish(topic)

    post = endpoint.wait_for_posts(1)[0]

    token = post.headers["Authorization"].split()[1]
    claims = google.auth.jwt.decode(token, certs=public_keys(identity.port))
    assert claims["aud"] == endpoint.url


def test_a_push_without_a_token_carries_no_authorization(our_cloud, endpoint):
    topic = our_cloud.topic()
    our_cloud.push(topic, endpoint.url)
    our_cloud.publish(topic)

    assert "Authorization" not in endpoint.wait_for_posts(1)[0].headers


def test_a_push_with_a_dead_letter_policy_counts_its_attempts(our_cloud, endpoints):
    endpoint = endpoints(500)
    topic, dead = our_cloud.topic(), our_cloud.topic("dead-letters")
    graveyard = our_cloud.subscription(dead, "graveyard")
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
    our_cloud.push(topic, endpoint.url, dead_letter_policy=policy)
    our_cloud.publish(topic, b"poison")

    (letter,) = our_cloud.pull(graveyard)

    assert [post.body["deliveryAttempt"] for post in endpoint.posts] == [1, 2, 3, 4, 5]
    assert letter.message.data == b"poison"


def test_a_pull_with_a_dead_letter_policy_counts_its_attempts(our_cloud):
    topic, dead = our_cloud.topic(), our_cloud.topic("dead-letters")
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
    subscription = our_cloud.subscription(topic, dead_letter_policy=policy)
    our_cloud.publish(topic)

    (first,) = our_cloud.pull(subscription)
    our_cloud.nack(subscription, first)
    (second,) = our_cloud.pull(subscription)

    assert (first.delivery_attempt, second.delivery_attempt) == (1, 2)


def test_a_push_with_an_ordering_key_shows_it(our_cloud, endpoint):
    topic = our_cloud.topic()
    our_cloud.push(topic, endpoint.url, enable_message_ordering=True)
    message = {"data": b"x", "ordering_key": "magika"}
    our_cloud.publish_messages(topic, message)

    body = endpoint.wait_for_posts(1)[0].body

    assert body["message"]["orderingKey"] == "magika"


def test_a_dead_endpoint_is_asked_ever_more_seldom_and_logged_once(
    our_cloud, our_server, endpoints
):
    endpoint = endpoints(503)
    topic = our_cloud.topic()
    subscription = our_cloud.push(topic, endpoint.url)
    for number in range(20):
        our_cloud.publish(topic, str(number).encode())

    posts = endpoint.wait_for_posts(6)

    pauses_s = [b.at - a.at for a, b in itertools.pairwise(posts[:6])]
    logged = [e for e in our_server.events() if e.get("subscription") == subscription]
    assert all(later > 1.3 * earlier for earlier, later in itertools.pairwise(pauses_s))
    assert [each["event"] for each in logged] == ["pubsub.push_failed"]


def test_an_endpoint_that_comes_back_gets_what_it_missed(our_cloud, endpoints):
    port = free_port()
    topic = our_cloud.topic()
    our_cloud.push(topic, f"http://127.0.0.1:{port}/")
    sent = {our_cloud.publish(topic, str(n).encode()) for n in range(30)}

    endpoint = endpoints(204, port=port)

    endpoint.wait_for_posts(30)
    assert {post.body["message"]["messageId"] for post in endpoint.posts} == sent


def test_a_push_waits_for_an_identity_that_is_away_without_counting_attempts(
    tmp_path, monkeypatch, endpoint
):
    identity = StandIn("identity", [], tmp_path / "identity")
    words = ["--token-url", f"http://127.0.0.1:{identity.port}/token"]
    server = StandIn("pubsub", words, tmp_path / "pubsub")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{server.port}")
    with running(server):
        cloud = Cloud()
        topic, dead = cloud.topic(), cloud.topic("dead-letters")
        policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
        cloud.push(topic, endpoint.url, email=PUSHER, dead_letter_policy=policy)
        cloud.publish(topic)
        wait_for(lambda: len(server.events()) > 1, "the first failure")
        with running(identity):
            post = endpoint.wait_for_posts(1)[0]
        cloud.disconnect()

    assert post.body["deliveryAttempt"] == 1


def test_without_an_identity_a_push_with_a_token_is_refused(own_server):
    cloud = Cloud()
    topic = cloud.topic()

    with pytest.raises(exceptions.FailedPrecondition, match="--token-url"):
        cloud.push(topic, "http://127.0.0.1:9/", email=PUSHER)
    cloud.disconnect()


@pytest.mark.parametrize(
    "fields",
    [
        {"enable_exactly_once_delivery": True},
        {"retain_acked_messages": True},
        {"bigquery_config": {"table": "a.b.c"}},
        {"push_config": {"push_endpoint": "http://127.0.0.1:9/", "no_wrapper": {}}},
    ],
    ids=["exactly once", "retain acked", "bigquery", "no wrapper"],
)
def test_what_this_stand_in_does_not_know_is_refused(our_cloud, fields):
    with pytest.raises(exceptions.MethodNotImplemented):
        our_cloud.subscription(our_cloud.topic(), **fields)


def test_a_method_that_this_stand_in_does_not_know_is_refused(our_cloud):
    topic = our_cloud.topic()
    subscription = our_cloud.subscription(topic)

    with pytest.raises(exceptions.MethodNotImplemented):
        our_cloud.subscriber.seek(request={"subscription": subscription})


@pytest.mark.parametrize(
    "fields",
    [
        {"ack_deadline_seconds": 9},
        {"message_retention_duration": {"seconds": 599}},
        {"dead_letter_policy": {"max_delivery_attempts": 4}},
        {"dead_letter_policy": {"max_delivery_attempts": 101}},
        {"retry_policy": {"minimum_backoff": {"seconds": 601}}},
        {
            "retry_policy": {
                "minimum_backoff": {"seconds": 20},
                "maximum_backoff": {"seconds": 10},
            }
        },
    ],
)
def test_a_subscription_outside_of_googles_limits_is_refused(our_cloud, fields):
    topic = our_cloud.topic()
    if "dead_letter_policy" in fields:
        fields["dead_letter_policy"]["dead_letter_topic"] = topic

    with pytest.raises(exceptions.InvalidArgument, match="expected"):
        our_cloud.subscription(topic, **fields)


@pytest.mark.parametrize(
    "message",
    [
        {"data": bytes(10_000_000)},
        {"data": b"x", "attributes": {"k" * 257: "v"}},
        {"data": b"x", "attributes": {"k": "v" * 1025}},
        {"data": b"x", "attributes": {"googkey": "v"}},
        {"data": b"x", "attributes": {f"k{n}": "v" for n in range(101)}},
        {"data": b"x", "ordering_key": "k" * 1025},
    ],
    ids=["data", "key", "value", "goog", "count", "ordering key"],
)
def test_a_message_outside_of_googles_limits_is_refused(our_cloud, message):
    topic = our_cloud.topic()

    with pytest.raises(exceptions.InvalidArgument, match=r"expected|attribute keys"):
        our_cloud.publish_messages(topic, message)


def test_a_subscription_that_is_deleted_ends_its_streams(our_cloud):
    topic = our_cloud.topic()
    subscription = our_cloud.subscription(topic)
    stream = our_cloud.subscriber.subscribe(subscription, lambda message: message.ack())

    our_cloud.subscriber.delete_subscription(subscription=subscription)

    with pytest.raises(exceptions.NotFound):
        stream.result(timeout=20)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (
            b"POST /v1/projects/p/topics/t:publish HTTP/1.1\r\nContent-Length: 1\r\n",
            400,
        ),
        (b"GET /v1/projects/p/topics/t HTTP/1.1\r\n", 404),
        (b"POST /v1/projects/p/topics/t:publish HTTP/1.1\r\n", 400),
    ],
    ids=["no JSON", "not published", "no messages"],
)
def test_what_rest_cannot_do_here_is_refused_in_googles_form(our_server, asked, status):
    with socket.create_connection(("127.0.0.1", our_server.port), timeout=10) as client:
        client.sendall(asked + b"\r\n" + b"{" * (b"Length" in asked))
        reply = client.recv(65536).decode()

    head, _, body = reply.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert json.loads(body)["error"]["code"] == status


def test_a_stranger_on_the_port_disturbs_nobody(our_server, our_cloud):
    for strange in (b"", b"\0\0\0", b"GET / HTTP/1.1\r\n" + b"a" * 100_000):
        with socket.create_connection(("127.0.0.1", our_server.port)) as client:
            client.sendall(strange)

    topic = our_cloud.topic()
    assert our_cloud.publish(topic)


def test_only_what_may_change_is_changed(our_cloud):
    topic = our_cloud.topic()
    subscription = our_cloud.subscription(topic)

    with pytest.raises(exceptions.MethodNotImplemented, match="filter"):
        our_cloud.subscriber.update_subscription(
            request={
                "subscription": {"name": subscription, "filter": "attributes:a"},
                "update_mask": {"paths": ["filter"]},
            }
        )
