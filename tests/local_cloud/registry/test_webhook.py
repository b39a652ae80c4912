"""What the webhook of a Docker registry becomes on the topic `gcr`."""

import json

import grpc
import pytest
import requests

from local_cloud.registry_webhook import read_notices
from tests.local_cloud.registry.oci import MANIFEST_TYPE
from tests.local_cloud.registry.stand_ins import HOST, running, webhook

DIGEST = "sha256:" + "a" * 64
IMAGE = f"{HOST}/packhorse-demo/models/magika"
TARGET = {
    "mediaType": MANIFEST_TYPE,
    "digest": DIGEST,
    "repository": "packhorse-demo/models/magika",
    "tag": "2",
}


def events(*entries):
    return json.dumps({"events": list(entries)}).encode()


def notices(*entries):
    bodies = read_notices(events(*entries), location_host=HOST)
    return [json.loads(body) for body in bodies]


def test_a_pushed_tag_becomes_a_version_and_a_tag():
    assert notices({"action": "push", "target": TARGET}) == [
        {"action": "INSERT", "digest": f"{IMAGE}@{DIGEST}"},
        {"action": "INSERT", "digest": f"{IMAGE}@{DIGEST}", "tag": f"{IMAGE}:2"},
    ]


def test_blobs_and_pulls_say_nothing():
    blob = TARGET | {"mediaType": "application/octet-stream"}

    assert not notices({"action": "push", "target": blob})
    assert not notices({"action": "pull", "target": TARGET})


def test_a_deleted_tag_becomes_a_delete():
    assert notices({"action": "delete", "target": TARGET}) == [
        {"action": "DELETE", "tag": f"{IMAGE}:2"}
    ]


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"events":[1]}'])
def test_a_body_that_holds_no_events_is_refused(body):
    with pytest.raises(ValueError, match=r"."):
        list(read_notices(body, location_host=HOST))


def test_the_registry_is_asked_to_come_back_while_the_topic_is_away(topic):
    hook, body = webhook(topic), events({"action": "push", "target": TARGET})

    with running(hook):
        topic.failure = grpc.StatusCode.UNAVAILABLE
        away = requests.post(hook.url, data=body, timeout=30)
        topic.failure = None
        back = requests.post(hook.url, data=body, timeout=30)
        broken = requests.post(hook.url, data=b"{}", timeout=30)

    assert (away.status_code, back.status_code, broken.status_code) == (503, 200, 400)
    assert len(topic.bodies("magika")) == 2
