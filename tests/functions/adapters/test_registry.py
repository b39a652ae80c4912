"""What is pushed is read by digest, and nothing that its digest does not name."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from functions.adapters.registry import ModelRegistry
from functions.errors import (
    ReleaseRefusedError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from packhorse.errors import LimitExceededError, MalformedError, UntrustedError
from packhorse.names import Release
from packhorse.pushed_model import Role
from tests.functions import pushes

IMAGE = f"{pushes.REPOSITORY}/digits"


@pytest.fixture
def models(registry):
    url, _ = registry
    return ModelRegistry(pushes.REPOSITORY, endpoint=url, access_token=None)


@pytest.fixture
def pushed_files():
    return pushes.files(weights_bin=b"weights" * 1000)


@pytest.fixture
def digest(registry, pushed_files):
    return pushes.push(registry[0], pushed_files, release=Release("digits", 7))


@pytest.fixture
def serve():
    """Start a server that answers every GET in the same way."""
    servers = []

    def start(status, headers, body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        return ModelRegistry(pushes.REPOSITORY, endpoint=url, access_token=None)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_pushed_model_says_what_it_is(models, digest):
    pushed = models.manifest(IMAGE, digest)

    assert pushed.release == Release("digits", 7)
    assert pushed.digest == digest
    assert pushed.card["licence"] == "Apache-2.0"
    names = [layer.name for layer in pushed.layers]
    assert names == ["model.onnx", "weights.bin", "golden.npz", "card.json"]


def test_a_layer_is_read_as_it_was_pushed(models, digest, pushed_files):
    pushed = models.manifest(IMAGE, digest)

    for layer in pushed.files:
        with models.open_layer(IMAGE, layer) as stream:
            assert stream.read() == pushed_files[layer.name]


def test_a_layer_that_was_tampered_with_in_the_registry_is_not_believed(
    registry, models
):
    content = pushes.files(weights_bin=b"tampered" * 999)
    digest = pushes.push(registry[0], content, release=Release("digits", 8))
    pushed = models.manifest(IMAGE, digest)
    pushes.tamper(registry[1], content["weights.bin"])

    with (
        pytest.raises(UntrustedError, match=r"weights\.bin is not what its digest"),
        models.open_layer(IMAGE, pushed.layers[1]) as stream,
    ):
        stream.read()


def test_a_manifest_that_is_not_the_digest_s_is_not_believed(serve):
    models = serve(200, {"Content-Length": "2"}, b"{}")
    with pytest.raises(UntrustedError, match="the manifest that came is not sha256"):
        models.manifest(IMAGE, pushes.digest_of(b"another"))


def test_a_layer_longer_than_its_manifest_says_is_cut_off(serve):
    models = serve(200, {"Content-Length": "1000000"}, b"x" * 1_000_000)
    layer = pushes.describe("model.onnx", b"x" * 10)
    with (
        pytest.raises(UntrustedError, match="longer than 10 bytes"),
        models.open_layer(IMAGE, layer) as stream,
    ):
        stream.read()


def test_a_layer_that_breaks_off_can_be_asked_for_again(serve):
    models = serve(200, {"Content-Length": "100"}, b"x" * 10)
    layer = pushes.describe("model.onnx", b"x" * 100)
    with (
        pytest.raises(UpstreamUnavailableError),
        models.open_layer(IMAGE, layer) as stream,
    ):
        stream.read()


def test_a_layer_shorter_than_its_manifest_says_is_not_believed(serve):
    models = serve(200, {"Content-Length": "9"}, b"x" * 9)
    layer = pushes.describe("model.onnx", b"x" * 10)
    with (
        pytest.raises(UntrustedError, match="has 9 bytes, its manifest says 10"),
        models.open_layer(IMAGE, layer) as stream,
    ):
        stream.read()


def test_a_manifest_without_end_is_cut_off(serve):
    models = serve(200, {}, b"x" * 1_000_000)
    with pytest.raises(UntrustedError, match="longer than"):
        models.manifest(IMAGE, pushes.digest_of(b"x" * 1_000_000))


def test_a_digest_that_is_not_there_is_refused(models):
    with pytest.raises(ReleaseRefusedError, match="the registry has no sha256"):
        models.manifest(IMAGE, pushes.digest_of(b"never pushed"))


@pytest.mark.parametrize("digest", ["sha256:ab", "latest", "../../x", ""])
def test_what_is_no_digest_is_never_asked_for(models, digest):
    with pytest.raises(MalformedError, match="a digest is"):
        models.manifest(IMAGE, digest)


@pytest.mark.parametrize("image", ["evil.example/demo/models/digits", "", "digits"])
def test_images_of_other_repositories_are_never_asked_for(models, image):
    with pytest.raises(ReleaseRefusedError, match="models are pushed to"):
        models.manifest(image, pushes.digest_of(b""))


def test_a_model_under_another_model_s_name_is_refused(registry, models):
    release = Release("other", 1)
    digest = pushes.push(registry[0], pushes.files(), release=release, image="digits")
    with pytest.raises(MalformedError, match="pushed to digits must say so"):
        models.manifest(IMAGE, digest)


def test_a_container_image_is_no_model(registry, models):
    manifest = json.dumps({"schemaVersion": 2, "config": {}, "layers": []}).encode()
    path = f"{registry[0]}/v2/demo/models/digits"
    pushes.put_blob(path, b"{}")
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": pushes.digest_of(b"{}"),
                "size": 2,
            },
            "layers": [],
        }
    ).encode()
    digest = pushes.put_manifest(path, manifest)

    with pytest.raises(MalformedError, match="a pushed model has the artifactType"):
        models.manifest(IMAGE, digest)


def test_a_card_longer_than_a_card_is_never_read(registry, models):
    card = pushes.card(description="x" * 70_000)
    digest = pushes.push(
        registry[0], pushes.files(), release=pushes.RELEASE, model_card=card
    )
    with pytest.raises((MalformedError, LimitExceededError), match="a model card may"):
        models.manifest(IMAGE, digest)


def test_a_registry_that_is_away_is_an_error_of_ours_and_quick():
    away = ModelRegistry(
        pushes.REPOSITORY, endpoint="http://127.0.0.1:9", access_token=None
    )
    with pytest.raises(UpstreamUnavailableError, match="the registry"):
        away.manifest(IMAGE, pushes.digest_of(b""))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (503, UpstreamUnavailableError),
        (500, UpstreamUnavailableError),
        (401, UpstreamRefusedError),
        (403, UpstreamRefusedError),
    ],
)
def test_a_registry_that_refuses_says_whether_to_come_back(serve, status, error):
    with pytest.raises(error):
        serve(status, {"Content-Length": "0"}, b"").manifest(
            IMAGE, pushes.digest_of(b"")
        )


def test_the_access_token_is_the_password_that_the_token_service_gets(registry):
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path.partition("?")[0], self.headers["Authorization"]))
            url = f"http://127.0.0.1:{self.server.server_port}"
            body = b'{"token": "short-lived"}'
            self.send_response(200 if self.path.startswith("/token") else 401)
            if self.headers["Authorization"] == "Bearer short-lived":
                body = b""
            self.send_header("Content-Length", str(len(body)))
            challenge = f'Bearer realm="{url}/token",service="here",scope="pull"'
            self.send_header("Www-Authenticate", challenge)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    models = ModelRegistry(
        pushes.REPOSITORY,
        endpoint=f"http://127.0.0.1:{server.server_port}",
        access_token=lambda: "secret",
    )
    with pytest.raises(UpstreamRefusedError):
        models.manifest(IMAGE, pushes.digest_of(b""))
    server.shutdown()
    server.server_close()

    assert seen[1] == ("/token", "Basic b2F1dGgyYWNjZXNzdG9rZW46c2VjcmV0")
    assert seen[2][1] == "Bearer short-lived"


def test_the_layer_of_a_role_is_found(models, digest):
    assert models.manifest(IMAGE, digest).layer(Role.GOLDEN).name == "golden.npz"
