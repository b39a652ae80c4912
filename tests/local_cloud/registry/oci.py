"""Push and pull with the real `oras` client, and bodies as a client makes them."""

import hashlib
import json

import oras.defaults
import oras.oci
import oras.provider
import requests

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
WEIGHT_TYPE = "application/vnd.cncf.model.weight.v1.raw"
TIMEOUT_S = 30


def digest_of(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def client(server):
    return oras.provider.Registry(hostname=server.host, insecure=True)


def push_artifact(server, repository, tag, files, *, chunked=False):
    """Push `files` (paths) as a model artifact; return the manifest as pushed."""
    registry, target = client(server), f"{server.host}/{repository}:{tag}"
    container = registry.get_container(target)
    layers = []
    for path in files:
        layer = oras.oci.NewLayer(str(path), media_type=WEIGHT_TYPE)
        layer["annotations"] = {"org.cncf.model.filepath": path.name}
        reply = registry.upload_blob(
            str(path), container, layer, do_chunked=chunked, chunk_size=65536
        )
        assert reply.status_code in (200, 201), reply.text
        layers.append(layer)
    manifest = model_manifest(server, repository, layers)
    reply = registry.upload_manifest(manifest, container)
    assert reply.status_code == 201, reply.text
    return manifest, reply.headers["Docker-Content-Digest"]


def model_manifest(server, repository, layers):
    config = push_blob(server, repository, b'{"model":"magika"}')
    config = {"mediaType": CONFIG_TYPE, "digest": config, "size": 18}
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": config,
        "layers": layers,
        "annotations": {},
    }


def push_blob(server, repository, body, digest=None):
    digest = digest or digest_of(body)
    reply = finish_blob(server, repository, body, digest)
    assert reply.status_code == 201, reply.text
    return digest


def finish_blob(server, repository, body, digest):
    """Start an upload and send all of it with one PUT."""
    url = start_upload(server, repository)
    return requests.put(url, params={"digest": digest}, data=body, timeout=TIMEOUT_S)


def start_upload(server, repository):
    start = f"{server.url}/v2/{repository}/blobs/uploads/"
    reply = requests.post(start, timeout=TIMEOUT_S)
    assert reply.status_code == 202, reply.text
    return requests.compat.urljoin(start, reply.headers["Location"])


def put_manifest(server, repository, reference, manifest, media_type=MANIFEST_TYPE):
    body = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    url = f"{server.url}/v2/{repository}/manifests/{reference}"
    headers = {"Content-Type": media_type}
    return requests.put(url, data=body, headers=headers, timeout=TIMEOUT_S)


def get(server, path, **headers):
    headers = {"Accept": MANIFEST_TYPE} | headers
    return requests.get(f"{server.url}/v2/{path}", headers=headers, timeout=TIMEOUT_S)


def error_code(reply):
    return reply.json()["errors"][0]["code"]
