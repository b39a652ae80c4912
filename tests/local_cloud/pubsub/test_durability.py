"""What a server that is killed at any moment has kept when it is back."""

import subprocess
import sys
import threading

import pytest
from google.api_core import exceptions

from tests.local_cloud.pubsub.cloud import Cloud
from tests.local_cloud.pubsub.stand_ins import ROOT, Endpoint, wait_for


@pytest.fixture
def cloud(own_server):
    cloud = Cloud()
    yield cloud
    cloud.disconnect()


def restart(server):
    server.kill()
    server.start()


def test_no_publish_that_was_answered_is_lost_when_the_server_is_killed(
    own_server, cloud
):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    answered, is_over = [], threading.Event()

    def publish_on():
        number = 0
        while not is_over.is_set():
            data = str(number).encode()
            try:
                cloud.publisher.publish(topic, data, retry=None, timeout=2).result()
                answered.append(data)
            except exceptions.GoogleAPICallError:
                pass
            number += 1

    publisher = threading.Thread(target=publish_on)
    publisher.start()
    for kill in range(3):
        wait_for(lambda count=100 * (kill + 1): len(answered) > count, "publishes")
        restart(own_server)
    is_over.set()
    publisher.join()

    assert set(answered) <= set(cloud.drain(subscription))


def test_what_was_acknowledged_stays_away_and_what_was_leased_comes_again(
    own_server, cloud
):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    for data in (b"done", b"held"):
        cloud.publish(topic, data)
    done, held = cloud.pull(subscription, 2)
    cloud.ack(subscription, done)
    cloud.nack(subscription, held)

    restart(own_server)

    assert cloud.drain(subscription) == [b"held"]


def test_a_lease_from_before_can_be_acknowledged_after(own_server, cloud):
    topic = cloud.topic()
    subscription = cloud.subscription(topic)
    cloud.publish(topic)
    (received,) = cloud.pull(subscription)

    restart(own_server)
    cloud.ack(subscription, received)

    assert cloud.pull(subscription, at_once=True) == []


def test_attempts_are_counted_on(own_server, cloud):
    topic, dead = cloud.topic(), cloud.topic("dead-letters")
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
    subscription = cloud.subscription(topic, dead_letter_policy=policy)
    cloud.publish(topic)
    for _ in range(2):
        cloud.nack(subscription, cloud.pull(subscription)[0])

    restart(own_server)

    assert cloud.pull(subscription)[0].delivery_attempt == 3


def test_pushing_goes_on_by_itself(own_server, cloud):
    endpoint = Endpoint(503)
    topic = cloud.topic()
    cloud.push(topic, endpoint.url)
    cloud.publish(topic, b"kept")
    endpoint.wait_for_posts(1)

    own_server.kill()
    endpoint.statuses = [204]
    seen = len(endpoint.posts)
    own_server.start()

    endpoint.wait_for_posts(seen + 1)
    endpoint.stop()


def test_a_push_that_the_kill_cut_off_is_made_again_at_once(
    own_server, cloud, endpoint
):
    endpoint.may_answer.clear()
    topic, dead = cloud.topic(), cloud.topic("dead-letters")
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
    fields = {"ack_deadline_seconds": 600, "dead_letter_policy": policy}
    cloud.push(topic, endpoint.url, **fields)
    cloud.publish(topic, b"slow")
    endpoint.wait_for_posts(1)

    own_server.kill()
    endpoint.may_answer.set()
    own_server.start()

    posts = endpoint.wait_for_posts(2)
    assert [post.body["deliveryAttempt"] for post in posts] == [1, 1]


def test_a_second_server_on_the_same_data_says_why_it_ends(own_server):
    command = [sys.executable, "-m", "local_cloud.pubsub", "--port", "0"]
    second = subprocess.run(
        [*command, "--data", str(own_server.data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == 1
    assert "Is another one running?" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_second_server_on_the_same_port_says_why_it_ends(own_server, tmp_path):
    command = [sys.executable, "-m", "local_cloud.pubsub"]
    second = subprocess.run(
        [*command, "--port", str(own_server.port), "--data", str(tmp_path / "other")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{own_server.port}" in second.stderr
