"""What every registry must do: ours, and Debian's `docker-registry` to hold it to.

Both announce on the topic `gcr` with the bodies of Artifact Registry; Debian's
through `local_cloud.registry_webhook`.
"""

import contextlib
import hashlib
import http.client
import json

import pytest
import requests

from tests.local_cloud.registry import oci
from tests.local_cloud.registry.stand_ins import HOST, PROJECT

NOWHERE = "sha256:" + "0" * 64


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(hashlib.sha256(b"weights").digest() * 10_000)
    return path


@pytest.fixture
def artifact(place, repository, model):
    """One artifact, pushed under the tag 2."""
    manifest, digest = oci.push_artifact(place.server, repository, "2", [model])
    return manifest, digest


def test_an_artifact_is_pulled_by_digest_as_it_was_pushed(
    place, repository, artifact, model, tmp_path
):
    manifest, digest = artifact
    registry, name = (
        oci.client(place.server),
        f"{place.server.host}/{repository}@{digest}",
    )

    pulled = registry.get_manifest(name)
    path = registry.download_blob(
        name, pulled["layers"][0]["digest"], str(tmp_path / "pulled")
    )

    assert pulled == manifest
    assert (tmp_path / "pulled").read_bytes() == model.read_bytes()
    assert path == str(tmp_path / "pulled")


def test_the_manifest_comes_back_byte_for_byte_with_its_type(
    place, repository, artifact
):
    _, digest = artifact

    by_tag = oci.get(place.server, f"{repository}/manifests/2")
    by_digest = oci.get(place.server, f"{repository}/manifests/{digest}")

    assert by_tag.content == by_digest.content
    assert oci.digest_of(by_tag.content) == digest
    assert by_tag.headers["Docker-Content-Digest"] == digest
    assert by_tag.headers["Content-Type"] == oci.MANIFEST_TYPE


def test_a_head_of_manifest_and_blob_tells_length_and_digest(
    place, repository, artifact
):
    manifest, digest = artifact
    layer = manifest["layers"][0]
    base = f"{place.server.url}/v2/{repository}"

    of_blob = requests.head(f"{base}/blobs/{layer['digest']}", timeout=10)
    of_manifest = requests.head(
        f"{base}/manifests/2", headers={"Accept": oci.MANIFEST_TYPE}, timeout=10
    )

    assert of_blob.status_code == of_manifest.status_code == 200
    assert of_blob.headers["Content-Length"] == str(layer["size"])
    assert of_manifest.headers["Docker-Content-Digest"] == digest


def test_a_chunked_upload_arrives_whole(place, repository, model):
    manifest, _ = oci.push_artifact(
        place.server, repository, "1", [model], chunked=True
    )

    digest = manifest["layers"][0]["digest"]
    blob = oci.get(place.server, f"{repository}/blobs/{digest}")

    assert blob.content == model.read_bytes()


def test_a_body_of_unknown_length_is_taken(place, repository):
    url = oci.start_upload(place.server, repository)
    reply = requests.patch(url, data=iter([b"first ", b"second"]), timeout=10)
    url = requests.compat.urljoin(url, reply.headers["Location"])
    digest = oci.digest_of(b"first second")

    done = requests.put(url, params={"digest": digest}, timeout=10)

    assert reply.status_code == 202
    assert reply.headers["Range"] == "0-11"
    assert done.status_code == 201


def test_a_second_tag_names_the_same_manifest(place, repository, artifact):
    manifest, digest = artifact
    registry, name = oci.client(place.server), f"{place.server.host}/{repository}"

    reply = registry.upload_manifest(manifest, registry.get_container(f"{name}:latest"))

    assert reply.headers["Docker-Content-Digest"] == digest
    assert sorted(registry.get_tags(name)) == ["2", "latest"]


def test_a_part_of_a_blob_can_be_asked_for(place, repository, artifact, model):
    digest = artifact[0]["layers"][0]["digest"]

    part = oci.get(place.server, f"{repository}/blobs/{digest}", Range="bytes=100-199")
    tail = oci.get(place.server, f"{repository}/blobs/{digest}", Range="bytes=319990-")

    assert part.status_code == tail.status_code == 206
    assert part.content == model.read_bytes()[100:200]
    assert tail.content == model.read_bytes()[319_990:]
    assert part.headers["Content-Range"] == "bytes 100-199/320000"


def test_a_range_behind_the_end_is_refused(place, repository, artifact):
    digest = artifact[0]["layers"][0]["digest"]
    url = f"{place.server.url}/v2/{repository}/blobs/{digest}"

    # Debian's answer promises a body that never comes, so it is not read.
    with requests.get(
        url, headers={"Range": "bytes=320000-"}, stream=True, timeout=10
    ) as reply:
        assert reply.status_code == 416


def test_content_that_is_not_its_digest_is_refused(place, repository):
    reply = oci.finish_blob(place.server, repository, b"tampered", NOWHERE)

    assert reply.status_code == 400
    assert oci.error_code(reply) == "DIGEST_INVALID"
    assert oci.get(place.server, f"{repository}/blobs/{NOWHERE}").status_code == 404


def test_a_manifest_that_is_not_its_digest_is_refused(place, repository, artifact):
    reply = oci.put_manifest(place.server, repository, NOWHERE, artifact[0])

    assert reply.status_code == 400
    assert oci.error_code(reply) == "DIGEST_INVALID"


def test_a_manifest_that_leans_on_missing_content_is_refused(
    place, repository, artifact
):
    manifest = artifact[0] | {
        "layers": [artifact[0]["layers"][0] | {"digest": NOWHERE}]
    }

    reply = oci.put_manifest(place.server, repository, "3", manifest)

    assert reply.status_code in (400, 404)
    assert oci.error_code(reply) == "MANIFEST_BLOB_UNKNOWN"
    assert oci.get(place.server, f"{repository}/manifests/3").status_code == 404


def test_a_manifest_that_is_no_manifest_is_refused(place, repository, artifact):
    reply = oci.put_manifest(place.server, repository, "3", b"not json")

    assert reply.status_code == 400
    assert oci.error_code(reply) == "MANIFEST_INVALID"


@pytest.mark.parametrize("kind", ["blobs", "manifests"])
def test_what_was_never_pushed_is_missing(place, repository, artifact, kind):
    reply = oci.get(place.server, f"{repository}/{kind}/{NOWHERE}")

    assert reply.status_code == 404
    assert oci.error_code(reply) in ("BLOB_UNKNOWN", "MANIFEST_UNKNOWN")


def test_an_unknown_repository_has_no_tags(place):
    reply = oci.get(place.server, f"{PROJECT}/models/nobody/tags/list")

    assert reply.status_code == 404
    assert oci.error_code(reply) == "NAME_UNKNOWN"


def test_content_of_one_repository_is_not_seen_in_another(place, repository, artifact):
    digest = artifact[0]["layers"][0]["digest"]

    assert oci.get(place.server, f"{repository}/blobs/{digest}").ok
    assert oci.get(place.server, f"{repository}-b/blobs/{digest}").status_code == 404


def test_content_can_be_mounted_from_another_repository(place, repository, artifact):
    digest = artifact[0]["layers"][0]["digest"]
    url = f"{place.server.url}/v2/{repository}-b/blobs/uploads/"

    reply = requests.post(url, params={"mount": digest, "from": repository}, timeout=10)

    assert reply.status_code == 201
    assert oci.get(place.server, f"{repository}-b/blobs/{digest}").ok


@pytest.mark.parametrize(
    "name", ["Magika", "a//b", "a/../b", "a/%2e%2e/b", "..%2f..%2fetc", "-a"]
)
def test_a_name_that_is_no_repository_is_refused(place, name):
    connection = http.client.HTTPConnection(place.server.host, timeout=10)

    # requests would resolve the dots before sending
    connection.request("POST", f"/v2/{name}/blobs/uploads/")

    with contextlib.closing(connection):
        assert connection.getresponse().status in (301, 400, 404, 405)


def test_a_push_is_announced_as_a_version_and_as_a_tag(place, repository, artifact):
    image, digest = f"{HOST}/{repository}", artifact[1]

    bodies = place.topic.wait_for_bodies(repository, 2)

    assert [json.loads(body) for body in bodies] == [
        {"action": "INSERT", "digest": f"{image}@{digest}"},
        {"action": "INSERT", "digest": f"{image}@{digest}", "tag": f"{image}:2"},
    ]
    assert {topic for topic, _ in place.topic.published} == {
        f"projects/{PROJECT}/topics/gcr"
    }


def test_a_push_by_digest_is_announced_without_a_tag(place, repository):
    manifest = oci.model_manifest(place.server, repository, [])
    body = json.dumps(manifest).encode()
    digest = oci.digest_of(body)

    oci.put_manifest(place.server, repository, digest, body)

    bodies = place.topic.wait_for_bodies(repository, 1)
    assert [json.loads(body) for body in bodies] == [
        {"action": "INSERT", "digest": f"{HOST}/{repository}@{digest}"}
    ]


def test_a_deleted_version_is_gone_and_announced(place, repository, artifact):
    _, digest = artifact
    place.topic.wait_for_bodies(repository, 2)
    url = f"{place.server.url}/v2/{repository}/manifests/{digest}"

    reply = requests.delete(url, timeout=10)

    assert reply.status_code == 202
    assert oci.get(place.server, f"{repository}/manifests/{digest}").status_code == 404
    assert oci.get(place.server, f"{repository}/manifests/2").status_code == 404
    gone = {"action": "DELETE", "digest": f"{HOST}/{repository}@{digest}"}
    place.topic.wait_for_bodies(json.dumps(gone, separators=(",", ":")), 1)
