"""What only our registry promises: limits, durable pushes, notices never lost."""

import json
import os
import subprocess
import threading

import grpc
import pytest
import requests

from tests.local_cloud.registry import oci
from tests.local_cloud.registry.stand_ins import (
    HOST,
    PROJECT,
    Topic,
    our_registry,
    running,
    wait_for,
)

MIB = 1024 * 1024


@pytest.fixture
def manifest(ours, repository):
    return oci.model_manifest(ours, repository, [])


def test_what_was_acknowledged_survives_a_kill(fresh, repository, topic, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights" * 10_000)
    topic.stop()
    pushed, digest = oci.push_artifact(fresh, repository, "2", [path])

    fresh.kill()
    fresh.start()

    blob = oci.get(fresh, f"{repository}/blobs/{pushed['layers'][0]['digest']}")
    assert blob.content == path.read_bytes()
    assert oci.get(fresh, f"{repository}/manifests/2").json() == pushed
    topic.start()
    bodies = topic.wait_for_bodies(repository, 2)
    assert {json.loads(body)["digest"] for body in bodies} == {
        f"{HOST}/{repository}@{digest}"
    }


def test_a_kill_at_any_moment_announces_every_acknowledged_push(fresh, topic):
    """Pushes go on while the registry is killed; what got 201 must be heard of."""
    acknowledged = []
    stopping = threading.Event()

    def push_until_stopped():
        for number in range(10_000):
            repository = f"{PROJECT}/models/m{number}"
            try:
                manifest = oci.model_manifest(fresh, repository, [])
                if (
                    oci.put_manifest(fresh, repository, "1", manifest).status_code
                    == 201
                ):
                    acknowledged.append(repository)
            except (requests.RequestException, AssertionError):
                pass
            if stopping.is_set():
                return

    client = threading.Thread(target=push_until_stopped)
    client.start()
    for kills in range(1, 4):
        wait_for(lambda kills=kills: len(acknowledged) > 5 * kills, "pushes")
        fresh.kill()
        fresh.start()
    stopping.set()
    client.join()

    for repository in acknowledged:
        assert oci.get(fresh, f"{repository}/manifests/1").ok
        tag = f'"tag":"{HOST}/{repository}:1"'
        assert topic.wait_for_bodies(tag, 1)


def test_an_upload_goes_on_after_a_kill(fresh, repository):
    url = oci.start_upload(fresh, repository)
    requests.patch(url, data=b"first ", timeout=10)

    fresh.kill()
    fresh.start()

    state = requests.get(url, timeout=10)
    digest = oci.digest_of(b"first second")
    done = requests.put(url, params={"digest": digest}, data=b"second", timeout=10)
    assert (state.status_code, state.headers["Range"]) == (204, "0-5")
    assert done.status_code == 201


def test_notices_wait_until_the_topic_takes_them(
    ours, repository, module_topic, manifest
):
    module_topic.failure = grpc.StatusCode.NOT_FOUND
    assert oci.put_manifest(ours, repository, "2", manifest).status_code == 201

    module_topic.failure = None

    assert len(module_topic.wait_for_bodies(repository, 2)) == 2


def test_a_manifest_pushed_again_is_one_version(
    ours, repository, module_topic, manifest
):
    for _ in range(2):
        assert oci.put_manifest(ours, repository, "2", manifest).status_code == 201

    bodies = module_topic.wait_for_bodies(repository, 3)

    assert sum('"tag"' not in body.decode() for body in bodies) == 1


def test_a_deleted_tag_leaves_the_version_and_is_announced(
    ours, repository, module_topic, manifest
):
    reply = oci.put_manifest(ours, repository, "2", manifest)
    url = f"{ours.url}/v2/{repository}/manifests"

    assert requests.delete(f"{url}/2", timeout=10).status_code == 202

    assert requests.delete(f"{url}/2", timeout=10).status_code == 404
    digest = reply.headers["Docker-Content-Digest"]
    assert oci.get(ours, f"{repository}/manifests/{digest}").ok
    gone = json.loads(module_topic.wait_for_bodies(repository, 3)[-1])
    assert gone == {"action": "DELETE", "tag": f"{HOST}/{repository}:2"}


def test_a_moved_tag_names_the_newer_manifest(ours, repository, manifest):
    oci.put_manifest(ours, repository, "2", manifest)
    newer = manifest | {"annotations": {"note": "newer"}}

    oci.put_manifest(ours, repository, "2", newer)

    assert oci.get(ours, f"{repository}/manifests/2").json() == newer


def test_tags_come_in_pages(ours, repository, manifest):
    for tag in ("d", "b", "a", "c"):
        oci.put_manifest(ours, repository, tag, manifest)

    first = oci.get(ours, f"{repository}/tags/list?n=3")
    every = oci.client(ours).get_tags(f"{ours.host}/{repository}", N=10)

    assert first.json()["tags"] == ["a", "b", "c"]
    assert first.links["next"]["url"] == f"/v2/{repository}/tags/list?n=3&last=c"
    assert every == ["a", "b", "c", "d"]


def test_an_index_is_taken_once_its_manifests_are_there(ours, repository, manifest):
    child = oci.put_manifest(ours, repository, "2", manifest).headers
    media_type = "application/vnd.oci.image.index.v1+json"
    entry = {"digest": child["Docker-Content-Digest"], "size": 1}
    index = {"schemaVersion": 2, "manifests": [entry]}
    missing = {
        "schemaVersion": 2,
        "manifests": [entry | {"digest": "sha256:" + "0" * 64}],
    }

    refused = oci.put_manifest(ours, repository, "3", missing, media_type)
    taken = oci.put_manifest(ours, repository, "3", index, media_type)

    assert oci.error_code(refused) == "MANIFEST_BLOB_UNKNOWN"
    assert taken.status_code == 201
    reply = oci.get(ours, f"{repository}/manifests/3")
    assert reply.headers["Content-Type"] == media_type


@pytest.mark.parametrize(
    "body",
    [b"[]", b'{"schemaVersion":1}', b'{"schemaVersion":2,"config":{},"layers":[]}',
     b'{"schemaVersion":2,"layers":3}', b"[" * 100_000,
     b'{"schemaVersion":2,"mediaType":"text/html"}'],
    ids=["list", "version 1", "no digest", "no layers", "deep", "other type"],
)  # fmt: skip
def test_a_manifest_that_contradicts_itself_is_refused(ours, repository, body):
    reply = oci.put_manifest(ours, repository, "2", body)

    assert (reply.status_code, oci.error_code(reply)) == (400, "MANIFEST_INVALID")


def test_a_type_that_is_no_manifest_is_refused(ours, repository, manifest):
    reply = oci.put_manifest(ours, repository, "2", manifest, "application/json")

    assert (reply.status_code, oci.error_code(reply)) == (400, "MANIFEST_INVALID")


def test_a_manifest_over_the_limit_is_refused(ours, repository):
    reply = oci.put_manifest(ours, repository, "2", b" " * (4 * MIB + 1))

    assert (reply.status_code, oci.error_code(reply)) == (413, "SIZE_INVALID")


def test_a_blob_over_the_limit_is_refused_however_it_comes(ours, repository):
    url = oci.start_upload(ours, repository)
    first = requests.patch(url, data=b"x" * 999_999, timeout=10)

    declared = requests.patch(url, data=b"yz", timeout=10)
    streamed = requests.patch(url, data=iter([b"y", b"z"]), timeout=10)

    assert first.status_code == 202
    assert declared.status_code == streamed.status_code == 413
    assert requests.get(url, timeout=10).headers["Range"] == "0-999998"


def test_a_piece_that_does_not_follow_is_refused(ours, repository):
    url = oci.start_upload(ours, repository)
    requests.patch(url, data=b"first", timeout=10)

    for content_range in ("4-8", "6-10", "first-last"):
        reply = requests.patch(
            url, data=b"again", headers={"Content-Range": content_range}, timeout=10
        )
        assert (reply.status_code, oci.error_code(reply)) == (416, "RANGE_INVALID")


def test_a_body_cut_short_leaves_the_upload_as_it_was(ours, repository):
    url = oci.start_upload(ours, repository)
    requests.patch(url, data=b"first ", timeout=10)

    def cut():
        yield b"never to be"
        raise ConnectionAbortedError

    with pytest.raises(requests.ConnectionError):
        requests.patch(url, data=cut(), timeout=10)

    wait_for(lambda: requests.get(url, timeout=10).headers["Range"] == "0-5", "the cut")


def test_an_upload_can_be_cancelled(ours, repository):
    url = oci.start_upload(ours, repository)

    assert requests.delete(url, timeout=10).status_code == 204

    reply = requests.patch(url, data=b"late", timeout=10)
    assert (reply.status_code, oci.error_code(reply)) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_a_blob_can_be_pushed_with_one_post(ours, repository):
    url = f"{ours.url}/v2/{repository}/blobs/uploads/"
    digest = oci.digest_of(b"small")

    reply = requests.post(url, params={"digest": digest}, data=b"small", timeout=10)

    assert reply.status_code == 201
    assert oci.get(ours, f"{repository}/blobs/{digest}").content == b"small"


def test_a_mount_of_what_is_not_there_begins_an_upload(ours, repository):
    url = f"{ours.url}/v2/{repository}/blobs/uploads/"
    query = {"mount": "sha256:" + "0" * 64, "from": f"{repository}-b"}

    assert requests.post(url, params=query, timeout=10).status_code == 202


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("a" * 300 + "/tags/list", "NAME_INVALID"),
        ("magika/tags/list?n=-1", "SIZE_INVALID"),
        ("magika/manifests/.hidden", "MANIFEST_INVALID"),
        ("magika/manifests/sha256:short", "DIGEST_INVALID"),
        ("magika/blobs/md5:abc", "DIGEST_INVALID"),
        ("magika/blobs/uploads/..", "BLOB_UPLOAD_UNKNOWN"),
        ("magika/nothing", "UNSUPPORTED"),
    ],
)
def test_an_address_that_means_nothing_is_refused_with_a_code(ours, path, code):
    session = requests.Session()
    request = requests.Request("GET", ours.url).prepare()
    request.url = f"{ours.url}/v2/{path}"  # as it stands, dots included

    reply = session.send(request, timeout=10)

    assert 400 <= reply.status_code < 500
    assert oci.error_code(reply) == code


def test_a_second_registry_on_the_same_folder_is_refused(fresh, topic, tmp_path):
    second = our_registry(tmp_path / "data", topic)

    run = subprocess.run(
        second.command,
        check=False,
        env=os.environ | second.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert run.returncode == 1
    assert "another registry is running" in run.stderr


def test_without_a_local_pubsub_it_does_not_start(tmp_path):
    command = our_registry(tmp_path / "data", Topic()).command
    environment = {k: v for k, v in os.environ.items() if k != "PUBSUB_EMULATOR_HOST"}

    run = subprocess.run(
        command,
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert run.returncode == 1
    assert "PUBSUB_EMULATOR_HOST" in run.stderr


def test_it_ends_by_itself_when_told_to(tmp_path, topic):
    server = our_registry(tmp_path / "data", topic)

    with running(server):
        assert server.stop() == 0
