"""Read tokens, from the stand-in for Google's Security Token Service."""

import json
import threading
from urllib.parse import parse_qs, unquote

import pytest
import requests

from functions.adapters.read_tokens import LEFT_MIN_S, ReadTokens
from functions.errors import UpstreamRefusedError, UpstreamUnavailableError
from local_cloud.google_http import json_reply, start
from tests.standing_clock import StandingClock

BUNDLE = "targets/bundles/magika/2/aa.fp32.tar"


@pytest.fixture
def clock():
    return StandingClock(0.0)


@pytest.fixture
def tokens(private_bucket, bucket, google_account, clock):
    return ReadTokens(bucket, sts_url=private_bucket, clock=clock)


@pytest.fixture
def serve():
    """Serve a token service that answers as a test says."""
    servers = []

    def do(document, status=200):
        seen = []

        def handle(request):
            seen.append(request)
            return json_reply(document, status)

        servers.append(start("127.0.0.1", 0, handle))
        return f"http://127.0.0.1:{servers[-1].port}", seen

    yield do
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_token_reads_one_models_part_of_the_bucket(
    tokens, private_bucket, bucket, store
):
    for name in (BUNDLE, "targets/bundles/other/1/aa.fp32.tar", "metadata/x.json"):
        store.write_if_generation(name, b"content", 0)

    token = tokens.issue("magika")

    def read(name):
        headers = {"Authorization": f"Bearer {token.access_token}"}
        url = f"{private_bucket}/{bucket}/{name}"
        return requests.get(url, headers=headers, timeout=5).status_code

    assert token.expires_in_s == 3600
    assert (read(BUNDLE), read("metadata/x.json")) == (200, 200)
    assert read("targets/bundles/other/1/aa.fp32.tar") == 403


def test_a_token_is_shared_while_it_is_good_for_long_enough(tokens, clock):
    first = tokens.issue("magika")
    clock.now = 3600 - LEFT_MIN_S
    second = tokens.issue("magika")
    assert second.access_token == first.access_token
    assert second.expires_in_s == LEFT_MIN_S
    assert tokens.issue("other").access_token != first.access_token

    clock.now += 1

    renewed = tokens.issue("magika")
    assert renewed.access_token != first.access_token
    assert renewed.expires_in_s == 3600


def test_many_at_once_cost_one_exchange(serve, bucket, google_account):
    url, seen = serve({"access_token": "t", "expires_in": 3600})
    tokens = ReadTokens(bucket, sts_url=url)
    threads = [threading.Thread(target=tokens.issue, args=["magika"]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 1


def test_without_an_end_of_its_own_it_ends_with_what_it_was_made_of(
    serve, bucket, google_account
):
    url, _ = serve({"access_token": "t"})

    token = ReadTokens(bucket, sts_url=url).issue("magika")

    assert 3000 < token.expires_in_s <= 3600


@pytest.mark.parametrize("document", [{}, {"access_token": ""}, {"access_token": 1}])
def test_an_answer_without_a_token_is_refused(serve, bucket, google_account, document):
    url, _ = serve(document)

    with pytest.raises(UpstreamRefusedError):
        ReadTokens(bucket, sts_url=url).issue("magika")


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_refusal_is_an_error_of_ours(serve, bucket, google_account, status):
    url, _ = serve({"error": "invalid_grant"}, status)

    with pytest.raises(UpstreamUnavailableError, match="token service"):
        ReadTokens(bucket, sts_url=url).issue("magika")


def test_a_token_service_that_is_away_is_an_error_of_ours(bucket, google_account):
    tokens = ReadTokens(bucket, sts_url="http://127.0.0.1:9")

    with pytest.raises(UpstreamUnavailableError, match="token service"):
        tokens.issue("magika")


def test_credentials_that_are_missing_are_an_error_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))

    with pytest.raises(UpstreamUnavailableError, match="token service"):
        ReadTokens("b", sts_url="http://127.0.0.1:9")


def test_the_boundary_names_the_bucket_and_the_prefixes(serve, bucket, google_account):
    url, seen = serve({"access_token": "t", "expires_in": 3600})

    ReadTokens(bucket, sts_url=url).issue("magika")

    form = parse_qs(seen[0].body.decode())
    options = json.loads(unquote(form["options"][0]))
    rules = options["accessBoundary"]["accessBoundaryRules"]
    resource = f"projects/_/buckets/{bucket}"
    assert {rule["availableResource"] for rule in rules} == {
        f"//storage.googleapis.com/{resource}"
    }
    assert [rule["availabilityCondition"]["expression"] for rule in rules] == [
        f"resource.name.startsWith('{resource}/objects/{prefix}')"
        for prefix in ("metadata/", "targets/rollouts/", "targets/bundles/magika/")
    ]
