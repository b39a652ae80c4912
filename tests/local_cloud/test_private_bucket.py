"""The bucket that asks for tokens, driven by Google's own library."""

import json
import time
from pathlib import Path

import google.auth.downscoped as google
import pytest
import requests
from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import sts
from google.oauth2.credentials import Credentials

from local_cloud.google_http import Reply, json_reply, start
from local_cloud.private_bucket import PrivateBucket, Settings, load_or_make_key

READER = "reader@demo.iam.localhost"
BUCKET = "bundles"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
KIND = "urn:ietf:params:oauth:token-type:access_token"
OBJECTS = {
    "metadata/timestamp.json": b"{}",
    "targets/bundles/magika/2/aa.fp32.tar": b"0123456789",
    "targets/bundles/magika-large/2/aa.fp32.tar": b"other",
}


class Storage:
    """A storage server that lets anybody read a few objects."""

    def __init__(self):
        self.seen = []
        self._server = start("127.0.0.1", 0, self.handle)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def handle(self, request):
        self.seen.append(request)
        body = OBJECTS.get(request.path.removeprefix(f"/{BUCKET}/"))
        if body is None:
            return json_reply({}, 404)
        if "range" in request.headers:
            first = int(request.headers["range"].removeprefix("bytes=").rstrip("-"))
            said = {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"}
            return Reply(206, body[first:], said)
        return Reply(200, body, {"ETag": '"1"'})

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def storage():
    found = Storage()
    yield found
    found.stop()


@pytest.fixture
def serve(storage):
    servers = []

    def do(token_s=3600, key=b"k" * 32, readers=(READER,)):
        settings = Settings(storage.url, frozenset(readers), token_s)
        servers.append(start("127.0.0.1", 0, PrivateBucket(settings, key).handle))
        return f"http://127.0.0.1:{servers[-1].port}"

    yield do
    for server in servers:
        server.shutdown()
        server.server_close()


def boundary(*prefixes, bucket=BUCKET, role="inRole:roles/storage.objectViewer"):
    resource = f"projects/_/buckets/{bucket}"
    return google.CredentialAccessBoundary(
        [
            google.AccessBoundaryRule(
                f"//storage.googleapis.com/{resource}",
                [role],
                google.AvailabilityCondition(
                    f"resource.name.startsWith('{resource}/objects/{prefix}')"
                ),
            )
            for prefix in prefixes
        ]
    )


def exchange(url, limits, account=READER, **changes):
    wanted = {
        "grant_type": GRANT,
        "subject_token": f"local.{account}.{'x' * 32}",
        "subject_token_type": KIND,
        "requested_token_type": KIND,
        "additional_options": limits.to_json() if limits else None,
    }
    client = sts.Client(f"{url}/v1/token")
    return client.exchange_token(request=Request(), **{**wanted, **changes})


def read(url, name, token=None, **headers):
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return requests.get(f"{url}/{BUCKET}/{name}", headers=headers, timeout=5)


def test_a_token_reads_what_its_boundary_holds_and_nothing_else(serve):
    url = serve()
    answer = exchange(url, boundary("metadata/", "targets/bundles/magika/"))
    token = answer["access_token"]

    assert answer["expires_in"] == 3600
    assert read(url, "metadata/timestamp.json", token).content == b"{}"
    assert read(url, "targets/bundles/magika/2/aa.fp32.tar", token).status_code == 200
    for name in (
        "targets/bundles/magika-large/2/aa.fp32.tar",
        "metadata/9.root.json",
        "metadata",
    ):
        assert read(url, name, token).status_code == 403, name


def test_googles_own_credentials_are_downscoped(serve, monkeypatch):
    url = serve()
    monkeypatch.setattr(google, "_STS_TOKEN_URL_PATTERN", f"{url}/v1/token")
    source = Credentials(f"local.{READER}.{'x' * 32}")
    monkeypatch.setattr(source, "refresh", lambda _: None)
    found = google.Credentials(source, boundary("metadata/"))

    found.refresh(Request())

    assert read(url, "metadata/timestamp.json", found.token).status_code == 200
    assert found.valid


def test_ranges_and_conditions_are_passed_on(serve, storage):
    url = serve()
    token = exchange(url, boundary("targets/"))["access_token"]
    name = "targets/bundles/magika/2/aa.fp32.tar"

    part = read(url, name, token, Range="bytes=4-")
    read(url, name, token, **{"If-None-Match": '"1"'})

    assert (part.status_code, part.content) == (206, b"456789")
    assert part.headers["Content-Range"] == "bytes 4-9/10"
    assert storage.seen[-1].headers["if-none-match"] == '"1"'
    assert "authorization" not in storage.seen[-1].headers


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (None, 403),
        ("downscoped.e30.00", 401),
        (f"local.{READER}.{'x' * 32}", 401),
        ("x" * 5000, 401),
    ],
)
def test_no_other_token_reads_anything(serve, token, status):
    assert read(serve(), "metadata/timestamp.json", token).status_code == status


def test_a_token_ends(serve):
    url = serve(token_s=1)
    token = exchange(url, boundary("metadata/"))["access_token"]
    assert read(url, "metadata/timestamp.json", token).status_code == 200

    ends_at = time.monotonic() + 5
    while read(url, "metadata/timestamp.json", token).status_code == 200:
        assert time.monotonic() < ends_at
        time.sleep(0.05)

    assert read(url, "metadata/timestamp.json", token).status_code == 401


def test_a_token_outlives_the_server_that_gave_it(serve):
    token = exchange(serve(), boundary("metadata/"))["access_token"]

    assert read(serve(), "metadata/timestamp.json", token).status_code == 200
    other = serve(key=b"o" * 32)
    assert read(other, "metadata/timestamp.json", token).status_code == 401


def test_a_boundary_adds_nothing_to_what_the_account_may(serve):
    url = serve(readers=())
    token = exchange(url, boundary("metadata/"))["access_token"]

    assert read(url, "metadata/timestamp.json", token).status_code == 403


@pytest.mark.parametrize(
    ("limits", "changes"),
    [
        (None, {}),
        (boundary(), {}),
        (boundary("a", role="inRole:roles/storage.objectAdmin"), {}),
        (boundary("a"), {"grant_type": "password"}),
        (boundary("a"), {"subject_token": "forged"}),
        (boundary("a"), {"subject_token_type": "urn:x"}),
    ],
)
def test_what_the_token_service_does_not_understand_it_refuses(serve, limits, changes):
    with pytest.raises(exceptions.OAuthError):
        exchange(serve(), limits, **changes)


def test_its_key_is_made_once(tmp_path):
    path = Path(tmp_path, "data", "tokens.key")

    first = load_or_make_key(path)

    assert len(first) == 32
    assert load_or_make_key(path) == first


def test_elsewhere_there_is_nothing(serve):
    url = serve()

    assert requests.get(f"{url}/", timeout=5).status_code == 404
    reply = requests.post(f"{url}/{BUCKET}/x", data=b"", timeout=5)
    assert json.loads(reply.content)["error"]["code"] == 404
