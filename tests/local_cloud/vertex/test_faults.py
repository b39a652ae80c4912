"""Faults on request: what a client meets when a test asked for it."""

import http.client
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
import requests
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import Credentials
from google.cloud import aiplatform_v1

BODY = b'{"a": 1}'


@pytest.fixture
def faulty(vertex):
    """The stand-in, well again after the test."""
    yield vertex
    vertex.set_faults()
    requests.delete(f"{vertex.url}/_seen", timeout=5)


@pytest.fixture
def connection(vertex):
    """A plain connection to the stand-in."""
    host = urlsplit(vertex.url)
    found = http.client.HTTPConnection(host.hostname, host.port, timeout=5)
    yield found
    found.close()


def ask(connection, endpoint):
    connection.request("POST", f"/v1/{endpoint}:rawPredict", BODY)
    return connection.getresponse()


def read_all(connection):
    while connection.recv(65536):
        pass


class Renewable(Credentials):
    """Tokens 1, 2, ..., each made by a refresh."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def refresh(self, _request):
        self.count += 1
        self.token = str(self.count)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, exceptions.BadRequest),
        (403, exceptions.Forbidden),
        (404, exceptions.NotFound),
        (429, exceptions.TooManyRequests),
        (500, exceptions.InternalServerError),
        (502, exceptions.BadGateway),
        (503, exceptions.ServiceUnavailable),
        (504, exceptions.GatewayTimeout),
    ],
)
def test_googles_client_takes_every_status_for_what_it_is(faulty, served, status, kind):
    faulty.set_faults({"status": status})

    with pytest.raises(kind):
        faulty.predictions.predict(endpoint=served, instances=[1], retry=None)


def test_a_status_comes_with_the_headers_and_the_body_asked_for(faulty, served):
    fault = {"status": 429, "headers": {"Retry-After": "7"}, "body": "any bytes"}
    faulty.set_faults({**fault, "deployed_model": "77"})

    reply = faulty.raw_predict(served)

    assert (reply.status_code, reply.content) == (429, b"any bytes")
    assert reply.headers["Retry-After"] == "7"
    assert reply.headers["X-Vertex-AI-Deployed-Model-Id"] == "77"


def test_a_fault_for_the_next_two_requests_leaves_the_third(faulty, served):
    faulty.set_faults({"status": 503, "count": 2})

    statuses = [faulty.raw_predict(served).status_code for _ in range(3)]

    assert statuses == [503, 503, 200]
    assert faulty.faults()[0]["met"] == 2


def test_a_share_is_kept_and_the_same_again_under_the_same_seed(faulty, served):
    def storm():
        faulty.set_faults({"status": 503, "share": 0.3}, seed=5)
        return [faulty.raw_predict(served).status_code for _ in range(100)]

    first = storm()

    assert 18 <= first.count(503) <= 42
    assert first == storm()


def test_a_fault_of_another_endpoint_or_deployed_model_is_not_met(faulty, served):
    faulty.set_faults(
        {"status": 503, "endpoint": f"{served}9"},
        {"status": 503, "deployed_model": "1"},
        {"status": 503, "on": "reads"},
    )

    assert faulty.raw_predict(served).status_code == 200


def test_reading_an_endpoint_meets_faults_of_its_own(faulty, served):
    faulty.set_faults({"on": "reads", "endpoint": served, "status": 503})

    with pytest.raises(exceptions.ServiceUnavailable):
        faulty.endpoints.get_endpoint(name=served, retry=None)
    assert faulty.raw_predict(served).status_code == 200


@pytest.mark.parametrize("at", ["start", "head", "body"])
def test_an_answer_stalls_where_it_was_asked_to_and_then_goes_on(
    faulty, served, connection, at
):
    faulty.set_faults({"at": at, "stall_s": 0.4, "count": 1})

    begun = time.monotonic()
    answer = ask(connection, served)
    head_s = time.monotonic() - begun
    body = answer.read()
    whole_s = time.monotonic() - begun

    assert answer.status == 200
    assert json.loads(body)
    assert (head_s > 0.3) == (at != "body")
    assert 0.4 <= whole_s < 3
    assert ask(connection, served).status == 200


@pytest.mark.parametrize("at", ["start", "head", "body"])
def test_a_reset_is_a_reset(faulty, served, at):
    faulty.set_faults({"at": at, "cut": "reset"})
    host = urlsplit(faulty.url)
    head = f"POST /v1/{served}:rawPredict HTTP/1.1\r\nHost: x\r\nContent-Length: 2"

    with socket.create_connection((host.hostname, host.port), timeout=5) as raw:
        raw.sendall(f"{head}\r\n\r\n{{}}".encode())
        with pytest.raises(ConnectionResetError):
            read_all(raw)


def test_an_answer_cut_short_ends_before_its_length(faulty, served, connection):
    faulty.set_faults({"at": "body", "cut": "close"})

    answer = ask(connection, served)

    with pytest.raises(http.client.IncompleteRead):
        answer.read()


def test_a_connection_closed_without_an_answer_is_disconnected(
    faulty, served, connection
):
    faulty.set_faults({"cut": "close"})

    with pytest.raises(http.client.RemoteDisconnected):
        ask(connection, served)


def test_a_length_that_promises_more_never_comes_whole(faulty, served, connection):
    faulty.set_faults({"length_by": 9})

    with pytest.raises(http.client.IncompleteRead):
        ask(connection, served).read()


def test_a_length_that_promises_less_leaves_bytes_behind(faulty, served):
    faulty.set_faults({"status": 200, "body": "0123456789", "length_by": -4})
    host = urlsplit(faulty.url)
    head = f"POST /v1/{served}:rawPredict HTTP/1.1\r\nHost: x\r\nContent-Length: 2"

    with socket.create_connection((host.hostname, host.port), timeout=5) as raw:
        raw.sendall(f"{head}\r\n\r\n{{}}".encode())
        came = b""
        while not came.endswith(b"6789"):
            came += raw.recv(65536)

    assert b"Content-Length: 6\r\n" in came


def test_a_slow_body_takes_its_time(faulty, served):
    fault = {"status": 200, "body": "x" * 50, "at": "body", "bytes_per_s": 50}
    faulty.set_faults(fault)

    begun = time.monotonic()
    reply = faulty.raw_predict(served)

    # The first half comes at once.
    assert reply.content == b"x" * 50
    assert 0.4 <= time.monotonic() - begun < 3


def test_a_huge_body_is_as_long_as_asked(faulty, served):
    faulty.set_faults({"body_bytes": 20 * 1024 * 1024})

    assert len(faulty.raw_predict(served).content) == 20 * 1024 * 1024


def test_a_chunked_answer_is_the_same_answer(faulty, served):
    faulty.set_faults({"is_chunked": True})

    reply = faulty.raw_predict(served, BODY)

    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert reply.json()["predictions"][0]["body"] == BODY.decode()


def test_garbage_is_no_http(faulty, served, connection):
    faulty.set_faults({"is_garbage": True})

    with pytest.raises(http.client.BadStatusLine):
        ask(connection, served)


def test_an_expired_token_is_refused_as_googles_front_end_does(faulty, served):
    faulty.set_faults({"says": "expired"})

    reply = faulty.raw_predict(served, Authorization="Bearer old")

    error = reply.json()["error"]
    assert reply.status_code == 401
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
    assert error["status"] == "UNAUTHENTICATED"
    assert error["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"


def test_a_token_shown_before_the_fault_is_refused_and_a_fresh_one_taken(
    faulty, served
):
    faulty.raw_predict(served, Authorization="Bearer old")
    faulty.set_faults({"says": "expired", "tokens": "seen"})

    old = [faulty.raw_predict(served, Authorization="Bearer old") for _ in range(2)]
    fresh = [faulty.raw_predict(served, Authorization="Bearer new") for _ in range(2)]

    assert [reply.status_code for reply in old] == [401, 401]
    assert [reply.status_code for reply in fresh] == [200, 200]


def test_googles_client_gets_a_fresh_token_and_asks_again(faulty, served):
    credentials = Renewable()
    client = aiplatform_v1.PredictionServiceClient(
        client_options=ClientOptions(api_endpoint=faulty.url),
        transport="rest",
        credentials=credentials,
    )
    with client:
        client.predict(endpoint=served, instances=[1])
        faulty.set_faults({"says": "expired", "tokens": "seen"})

        answer = client.predict(endpoint=served, instances=[1])

    assert answer.deployed_model_id == "77"
    assert credentials.count == 2


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        ("moved", exceptions.BadRequest, "prediction.vertexai.goog"),
        ("gone", exceptions.NotFound, "does not exist"),
    ],
)
def test_an_endpoint_that_moved_or_went_says_so(faulty, served, says, kind, words):
    faulty.set_faults({"says": says})

    with pytest.raises(kind, match=words):
        faulty.predictions.predict(endpoint=served, instances=[1], retry=None)


def test_what_was_asked_and_answered_is_counted(faulty, vertex):
    endpoint = vertex.new_endpoint()
    vertex.deploy(endpoint, vertex.upload().model, own_id="1", split={"0": 100})
    faulty.set_faults({"endpoint": endpoint, "status": 503, "count": 2})

    for _ in range(5):
        faulty.raw_predict(endpoint)
    faulty.raw_predict(endpoint, b"refuse")

    answered = {"faulty": 2, "200": 3, "422": 1}
    assert faulty.seen(endpoint) == {"asked": 6, "answered": answered}


@pytest.mark.parametrize(
    "fault",
    [{"stauts": 503}, {"at": "tail"}, {"share": 2}, {"share": "x"}, {"status": 99}, 1],
)
def test_a_fault_that_is_none_is_refused_and_changes_nothing(faulty, served, fault):
    faulty.set_faults({"status": 418, "count": 1})
    url = f"{faulty.url}/_faults"

    reply = requests.put(url, json={"faults": [fault]}, timeout=5)

    assert reply.status_code == 400
    assert faulty.faults()[0]["status"] == 418


def test_another_route_of_the_stand_ins_own_is_not_there(faulty):
    assert requests.get(f"{faulty.url}/_other", timeout=5).status_code == 404


def test_sixty_four_connections_are_answered_at_once(faulty, served):
    faulty.set_faults({"stall_s": 0.5})
    statuses = []

    def one():
        statuses.append(faulty.raw_predict(served).status_code)

    threads = [threading.Thread(target=one) for _ in range(64)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 64
    assert time.monotonic() - begun < 10
